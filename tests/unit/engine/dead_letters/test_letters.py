"""From records of the topic of dead letters to letters, and back to the records that they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.adapters.letters import reason_headers
from famulus.engine.dead_letters.letters import headers_again, read_letter, run_id_in
from famulus.ports import FORWARDED, LETTER_CODE, LETTER_CUT, LETTER_SOURCE, LETTER_TIME, REDRIVEN, Record

SOURCE = Record(
    topic="fam.jobs/odd", partition=2, offset=7, key=b"r", value=b"{", headers=(("trace", b"1"),), timestamp=99.5
)


def on_topic(record: Record, *, code: str = "not_json", reason: str = "no JSON", offset: int = 0) -> Record:
    headers = (*record.headers, *reason_headers(record, code=code, reason=reason))
    return replace(record, topic="fam.dead", partition=0, offset=offset, headers=headers, timestamp=200.0)


def test_a_letter_says_where_its_record_came_from_when_and_why() -> None:
    letter = read_letter(on_topic(SOURCE))

    summary = letter.summary
    assert (summary.topic, summary.partition, summary.offset, summary.at) == ("fam.jobs/odd", 2, 7, 99.5)
    assert (summary.code, summary.reason, summary.run_id, summary.value_bytes) == ("not_json", "no JSON", "r", 1)
    assert (letter.key, letter.value, letter.headers) == (b"r", b"{", (("trace", b"1"),))


def test_a_record_that_is_set_aside_twice_is_one_letter_and_any_other_is_another() -> None:
    first, again = read_letter(on_topic(SOURCE)), read_letter(on_topic(SOURCE, offset=5))
    others = [
        replace(SOURCE, offset=8),
        replace(SOURCE, timestamp=100.5),  # of a broker that had forgotten its topic, at the same place
        replace(SOURCE, value=b"{{"),
        replace(SOURCE, key=b"r{", value=b""),
        replace(SOURCE, key=None),
    ]

    ids = {read_letter(on_topic(other)).summary.letter_id for other in others}

    assert first.summary.letter_id == again.summary.letter_id
    assert len(ids) == len(others)
    assert first.summary.letter_id not in ids


def test_what_is_sent_again_has_its_own_headers_and_says_what_it_was() -> None:
    record = replace(SOURCE, headers=(("trace", b"1"), (FORWARDED, b"fam.jobs/0/1"), ("empty", None)))
    letter = read_letter(on_topic(record))

    assert headers_again(letter) == [("trace", b"1"), ("empty", None), (REDRIVEN, letter.summary.letter_id.encode())]


def test_a_record_that_fails_again_is_another_letter_that_keeps_the_name_of_the_first() -> None:
    first = read_letter(on_topic(SOURCE))
    second = read_letter(on_topic(replace(SOURCE, offset=9, headers=tuple(headers_again(first)))))

    assert second.summary.letter_id != first.summary.letter_id
    assert second.summary.redriven_from == first.summary.letter_id
    assert dict(headers_again(second)) == {"trace": b"1", REDRIVEN: first.summary.letter_id.encode()}


def test_headers_that_the_record_had_under_our_names_stay_its_own() -> None:
    record = replace(SOURCE, headers=((LETTER_CODE, b"of the producer"), ("trace", b"1")))

    letter = read_letter(on_topic(record))

    assert letter.summary.code == "not_json"
    assert letter.headers == ((LETTER_CODE, b"of the producer"), ("trace", b"1"))


def test_a_letter_that_is_cut_says_how_large_its_record_was() -> None:
    cut = on_topic(replace(SOURCE, headers=((LETTER_CUT, b"5000000"),)))

    summary = read_letter(cut).summary

    assert (summary.is_cut, summary.value_bytes) == (True, 5_000_000)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((LETTER_SOURCE, b"x"), (LETTER_TIME, b"nan")),
        ((LETTER_SOURCE, b"a/-1/x"), (LETTER_TIME, b"1e999")),
        ((LETTER_SOURCE, b"\xff/\xff/\xff"), (LETTER_TIME, b"")),
        ((LETTER_SOURCE, b"a/99999999999999999999999/0"), (LETTER_TIME, None)),
        ((REDRIVEN, b"<script>"),),
    ],
)
def test_what_anybody_has_written_there_is_a_letter_of_its_own_place(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    record = Record(topic="fam.dead", partition=1, offset=3, key=None, value=b"x", headers=headers, timestamp=50.0)

    summary = read_letter(record).summary

    assert (summary.topic, summary.partition, summary.offset, summary.at) == ("fam.dead", 1, 3, 50.0)
    assert (summary.code, summary.redriven_from) == ("unknown", None)


names = st.sampled_from([LETTER_CODE, LETTER_SOURCE, LETTER_TIME, LETTER_CUT, REDRIVEN, "other"])


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(names, st.none() | st.binary(max_size=30))),
)
def test_no_bytes_break_the_reading(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    record = Record(topic="d", partition=0, offset=0, key=key, value=value, headers=tuple(headers), timestamp=1.0)

    letter = read_letter(record)

    assert (letter.key, letter.value) == (key, value)
    assert len(headers_again(letter)) >= 1


@pytest.mark.parametrize(
    ("key", "value", "run_id"),
    [
        (b"k", b'{"run_id": "r"}', "r"),
        (b"k", b'{"runId": "r"}', "r"),
        (b"k", b'{"run_id": "no id!"}', "k"),
        (b"k", b"[" * 100_000, "k"),
        (b"no id!", b"{", None),
        (b"\xff", None, None),
        (None, None, None),
    ],
)
def test_the_run_is_named_by_the_value_or_else_by_the_key(
    key: bytes | None, value: bytes | None, run_id: str | None
) -> None:
    assert run_id_in(key, value) == run_id
