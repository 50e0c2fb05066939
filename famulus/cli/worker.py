"""``famulus worker``: `faust worker` with our application."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from famulus.settings import Settings

APPLICATION: Final = "famulus.application"
"""Found in a checkout and in an installed wheel; `faust -A app worker` at the top of a checkout is the same."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=click.IntRange(0, 65535), help="Of the web views. Default: FAMULUS_WEB_PORT, or 6066.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(*, port: int | None, arguments: Sequence[str]) -> None:
    """Run a worker against the servers of the settings; as many as you like, anywhere.

    Further ARGUMENTS go to `faust worker` as they are. With no KAFKA_BROKERS, the embedded servers are started.
    """
    if port is not None:
        os.environ["FAMULUS_WEB_PORT"] = str(port)
    settings = Settings.load()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *worker_command(settings), *arguments])  # noqa: S606  # this very program


def worker_command(settings: Settings) -> Sequence[str]:
    """Module and arguments for `python -m`."""
    return ["faust", "-A", APPLICATION, "worker", "--loglevel", _faust_level(settings)]


def _faust_level(settings: Settings) -> str:
    """Faust has its own words, and tells at INFO what only its own authors want to know."""
    return {"debug": "debug", "error": "error"}.get(settings.log_level, "warn")
