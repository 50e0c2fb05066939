"""No codec that unpickles is there, and an application that asks for one does not start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faust.serializers import codecs

import agents
import tables
from app.factory import create_app
from famulus.adapters.faust.serializers import refuse_pickle
from famulus.errors import SettingsError
from famulus.settings import Settings

# Faust warns too, and goes on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::faust.exceptions.SecurityWarning"),
    pytest.mark.filterwarnings("ignore::faust.exceptions.AlreadyConfiguredWarning"),
]


@pytest.fixture(autouse=True)
def _codecs_as_before() -> Iterator[None]:
    before = dict(codecs.codecs)
    yield
    codecs.codecs.clear()
    codecs.codecs.update(before)


def an_app(tmp_path: Path) -> Any:
    return create_app(Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path), agents=agents, tables=tables)


def test_our_own_application_needs_none_and_leaves_none(tmp_path: Path) -> None:
    refuse_pickle(an_app(tmp_path))

    assert not [name for name in codecs.codecs if "pickle" in name]
    with pytest.raises(Exception, match=r"pickle|can not be determined"):
        codecs.loads("pickle", b"gASVCwAAAAAAAACMB2J1aWx0aW5zlC4=")


@pytest.mark.parametrize("codec", ["pickle", "pickle_restricted", "json|pickle", codecs.get_codec("pickle")])
def test_a_topic_that_asks_for_one_keeps_the_worker_from_starting(tmp_path: Path, codec: Any) -> None:
    app = an_app(tmp_path)
    app.topics.add(app.topic("theirs", value_serializer=codec))

    with pytest.raises(SettingsError, match=r"value_serializer of topic .*would run code"):
        refuse_pickle(app)


def test_a_table_or_a_setting_that_asks_for_one_does_too(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.Table("theirs", key_type=str, value_type=str).value_serializer = "pickle"
    with pytest.raises(SettingsError, match="table 'theirs'"):
        refuse_pickle(app)

    other = an_app(tmp_path)
    other.conf.value_serializer = "pickle"
    with pytest.raises(SettingsError, match="value_serializer"):
        refuse_pickle(other)
