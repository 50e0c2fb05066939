"""Secrets: found where they may be, put in where a blueprint asks, and taken out of everything else."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from famulus.errors import SecretError
from famulus.security.redaction import MASK, RedactingFormatter, Redactor
from famulus.security.secrets import Secrets

CANARY = 'tweet "tweet"\\/ü+%'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQE\nFAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----"


def secrets(tmp_path: Path | None = None, **values: str) -> Secrets:
    return Secrets({f"FAMULUS_SECRET_{name.upper()}": value for name, value in values.items()}, tmp_path)


def test_a_file_is_preferred_and_read_anew_each_time(tmp_path: Path) -> None:
    known = secrets(tmp_path, api_key="from the variable")
    assert known.value("api-key") == "from the variable"

    (tmp_path / "api-key").write_text("from a file\n")
    assert known.value("api-key") == "from a file"
    (tmp_path / "api-key").write_text("changed meanwhile")
    assert known.value("api-key") == "changed meanwhile"

    assert known.redactor.text("from a file") == MASK


@pytest.mark.parametrize("name", ["nobody", "../x", "x/y", ""])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "x").write_text("out of reach")

    with pytest.raises(SecretError) as raised:
        secrets(tmp_path).filled(f"secret://{name}")

    assert raised.value.name == name


def test_what_cannot_be_one_is_refused_without_telling_it(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd binary")
    (tmp_path / "large").write_text("x" * 70_000)
    (tmp_path / "folder").mkdir()

    for name, problem in (("short", "fewer than 6"), ("binary", "UTF-8"), ("large", "larger"), ("folder", "read")):
        with pytest.raises(SecretError, match=problem) as raised:
            secrets(tmp_path, short="abc").value(name)
        assert "abc" not in str(raised.value)


def test_every_reference_in_params_is_filled_and_what_has_none_is_the_same() -> None:
    known = secrets(one="value one", two="value two")
    params = {"a": "secret://one", "b": [{"c": "secret://two"}, "x secret://one", 7], "d": {"secret://one": 1}}

    assert known.filled(params) == {
        "a": "value one",
        "b": [{"c": "value two"}, "x secret://one", 7],
        "d": {"secret://one": 1},
    }
    plain = {"a": [1, {"b": "x"}]}
    assert known.filled(plain) is plain


def test_an_input_is_filled_where_the_blueprint_says_so_and_never_because_of_its_value() -> None:
    known = secrets(one="value one")

    assert known.filled_input({"a": "secret://one", "b": "x"}, {"a": None, "b": "secret://one"}) == {
        "a": "value one",
        "b": "secret://one",
    }
    assert known.filled_input("secret://one", None) == "value one"
    assert known.filled_input("x", "secret://one") == "secret://one"
    assert known.filled_input(None, {"a": "secret://one"}) == {"a": "secret://one"}


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        json.dumps({"a": CANARY}),
        json.dumps(CANARY, ensure_ascii=False),
        repr(CANARY),
        repr({"a": [CANARY]}),
        repr(CANARY.encode()),
        f"https://x/?q={quote(CANARY, safe='')}&y",
        CANARY.encode().hex(),
        "Basic " + base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_the_forms_that_texts_have_it_in(text: str) -> None:
    redacted = Redactor([CANARY]).text(f"before {text} after")

    assert MASK in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    for form in (CANARY, quote(CANARY, safe=""), json.dumps(CANARY)[1:-1], CANARY.encode().hex()):
        assert form not in redacted


def test_each_line_of_a_key_is_a_secret() -> None:
    for line in KEY.splitlines()[1:3]:
        assert Redactor([KEY]).text(f'File "x", line 1: {line}') == f'File "x", line 1: {MASK}'


def test_data_is_redacted_in_keys_and_values_and_stays_what_it_is_otherwise() -> None:
    data = {f"k {CANARY}": [1, None, {"a": f"{CANARY}{CANARY}"}], "b": True}

    assert Redactor([CANARY]).data(data) == {f"k {MASK}": [1, None, {"a": MASK + MASK}], "b": True}


def test_of_two_secrets_one_of_which_begins_the_other_nothing_is_left() -> None:
    assert Redactor(["abcdef", "abcdefghij"]).text("abcdefghij abcdef") == f"{MASK} {MASK}"


def test_a_line_of_the_log_is_redacted_with_its_traceback() -> None:
    formatter = RedactingFormatter(logging.Formatter("%(message)s"), Redactor([CANARY]))
    error = ValueError(CANARY)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "it is %s", (CANARY,), (ValueError, error, None))

    line = formatter.format(record)

    assert CANARY not in line
    assert f"it is {MASK}" in line
    assert f"ValueError: {MASK}" in line
