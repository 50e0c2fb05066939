from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.listening import likely_port, take_port
from famulus.errors import SettingsError
from famulus.settings import Settings


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_next_free_port_is_taken_when_the_default_one_is_not(taken_port: int) -> None:
    settings = Settings.model_construct(web_host="127.0.0.1", web_port=taken_port, _fields_set=set())

    assert taken_port < likely_port(settings) < taken_port + 50


def test_a_port_that_was_asked_for_is_used_as_it_is(taken_port: int) -> None:
    assert likely_port(Settings(web_port=taken_port)) == taken_port


def test_a_port_that_was_taken_is_not_given_to_the_next_worker_before_anything_listens_to_requests() -> None:
    with take_port("127.0.0.1", 20_000, fixed=False) as first, take_port("127.0.0.1", 20_000, fixed=False) as second:
        assert first.getsockname()[1] < second.getsockname()[1]


def test_a_fixed_port_in_use_is_an_error_that_names_the_variable(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=rf"FAMULUS_WEB_PORT: port {taken_port} of 127.0.0.1 is in use"):
        take_port("127.0.0.1", taken_port, fixed=True)
