from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.listening import web_port
from famulus.settings import Settings


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_next_free_port_is_taken_when_the_default_one_is_not(taken_port: int) -> None:
    settings = Settings.model_construct(web_host="127.0.0.1", web_port=taken_port, _fields_set=set())

    assert taken_port < web_port(settings) < taken_port + 50


def test_a_port_that_was_asked_for_is_used_as_it_is(taken_port: int) -> None:
    assert web_port(Settings(web_port=taken_port)) == taken_port
