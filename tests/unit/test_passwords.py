"""Passwords of servers are taken out of logs and of what nodes give, as secrets are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import agents
import tables
from app.factory import create_app
from famulus.nodes import Registry
from famulus.settings import Settings, passwords

GIVEN: dict[str, Any] = {
    "kafka_brokers": "127.0.0.1:1",
    "cassandra_password": "a long password",
    "kafka_password": "short",
    "redis_url": "redis://ada:of%20the%20cache@127.0.0.1:1/0",
    "record_key": "the first of the keys, and the second one",
}
LONG = ["a long password", "of the cache", "the first of the keys", "and the second one"]


def test_what_is_secret_and_long_is_known() -> None:
    assert sorted(passwords(Settings(**GIVEN))) == sorted(LONG)


def test_a_worker_tells_none_of_them(tmp_path: Path) -> None:
    settings = Settings(**GIVEN, data_dir=tmp_path)

    app = create_app(settings, agents=agents, tables=tables, registry=Registry())

    told = app.secrets.redactor.text(f"{LONG} and a word that is short")
    assert not [password for password in LONG if password in told]
    assert "a word that is short" in told
