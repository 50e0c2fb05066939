"""What the CQL may and may not contain, and what may stand where CQL binds nothing. Needs no server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from famulus.adapters import cassandra
from famulus.adapters.cassandra.connection import identifier, parse_contact_points
from famulus.adapters.cassandra.schema import replication_clause
from famulus.adapters.cassandra.statements import migrations, named_statements, worker_statements
from famulus.errors import SettingsError

PACKAGE = Path(cassandra.__file__).parent


def all_statements() -> dict[str, str]:
    named = {**worker_statements(), **named_statements("schema_versions")}
    numbered = {
        f"migration {migration.version}.{number}": statement
        for migration in migrations()
        for number, statement in enumerate(migration.statements)
    }
    return {**named, **numbered}


def test_nothing_filters_on_the_server() -> None:
    assert not [name for name, text in all_statements().items() if "FILTERING" in text.upper()]


def test_only_epochs_and_the_secret_are_written_under_a_condition() -> None:
    conditional = {name for name, text in worker_statements().items() if re.search(r"\bIF\b", text)}

    assert conditional == {"take_first_epoch", "take_next_epoch", "keep_secret"}


def test_every_other_write_names_its_timestamp() -> None:
    writes = {
        name: text
        for name, text in worker_statements().items()
        if re.match(r"(INSERT|UPDATE|DELETE)\b", text) and not re.search(r"\bIF\b", text)
    }

    assert len(writes) >= 10
    assert not [name for name, text in writes.items() if "USING TIMESTAMP ?" not in text]


def test_no_table_is_compacted_by_write_time() -> None:
    tables = {name: text for name, text in all_statements().items() if re.match(r"CREATE TABLE", text)}

    assert len(tables) >= 12
    assert not [name for name, text in tables.items() if "TimeWindow" in text or "DateTiered" in text]


def test_every_table_but_those_of_transactions_versions_and_what_never_changes_has_a_stamp() -> None:
    tables = [text for text in all_statements().values() if re.match(r"CREATE TABLE", text)]

    unstamped = {
        match[1]
        for text in tables
        if (match := re.match(r"CREATE TABLE IF NOT EXISTS (\w+)", text)) and "stamp bigint" not in text
    }

    # Pieces of values, tokens and sessions are written once, and not changed but by what is there for good.
    assert unstamped == {"epochs", "secrets", "schema_versions", "blobs", "tokens", "sessions"}


def test_migrations_are_numbered_without_a_gap_and_safe_to_repeat() -> None:
    found = migrations()

    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert all("IF NOT EXISTS" in statement for migration in found for statement in migration.statements)


def test_no_python_file_holds_cql() -> None:
    holding = [
        file.name
        for file in PACKAGE.glob("*.py")
        if re.search(r"\b(INSERT INTO|SELECT .* FROM|DELETE FROM|CREATE TABLE)\b", file.read_text())
    ]

    assert holding == []


@pytest.mark.parametrize("name", ["", "1a", "Famulus", "a-b", "a;b", 'a"', "a" * 49, "a b", "ключ", "a\n"])
def test_what_is_no_plain_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="KEYSPACE"):
        identifier(name, setting="KEYSPACE")


@pytest.mark.parametrize("name", ["famulus", "f", "a1_b2", "a" * 48])
def test_a_plain_name_is_taken(name: str) -> None:
    assert identifier(name, setting="KEYSPACE") == name


def test_contact_points_have_a_port_or_the_usual_one() -> None:
    points = parse_contact_points("127.0.0.1:9043, cassandra-2.local,[::1]:9044,[::1]")

    assert points == [("127.0.0.1", 9043), ("cassandra-2.local", 9042), ("::1", 9044), ("::1", 9042)]


@pytest.mark.parametrize("text", ["", " , ", "a:b", "a:1:2", "http://a", "a b"])
def test_contact_points_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="CASSANDRA_CONTACT_POINTS"):
        parse_contact_points(text)


def test_replication_is_a_number_or_by_datacenter() -> None:
    assert replication_clause(3) == "{'class': 'SimpleStrategy', 'replication_factor': 3}"
    assert replication_clause({"eu": 3, "us": 2}) == "{'class': 'NetworkTopologyStrategy', 'eu': 3, 'us': 2}"


@pytest.mark.parametrize("replication", [0, -1, {"eu": 0}, {"eu'": 1}, {"": 1}])
def test_replication_that_makes_no_sense_is_refused(replication: int | dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="REPLICATION"):
        replication_clause(replication)
