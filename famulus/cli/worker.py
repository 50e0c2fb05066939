"""``famulus worker``: `faust worker` with our application."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

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
    run_faust(worker_command(), arguments)


def worker_command(*, quiet: bool = False) -> Sequence[str]:
    """The command line of Faust. Quiet: without its banner.

    What is logged is a setting of ours; the level here only keeps Faust's spinner out of the log.
    """
    return ["faust", *(["--quiet"] if quiet else []), "-A", APPLICATION, "worker", "--loglevel", "info"]


def run_faust(command: Sequence[str], arguments: Sequence[str] = ()) -> NoReturn:
    """Run the program `faust` in this process. Raises `SettingsError` for settings that no worker can start with."""
    sys.argv = [*command, *arguments]  # Faust looks there already when it is imported
    importlib.import_module(APPLICATION)  # by itself, Faust would wrap what is wrong with it into a long traceback
    importlib.import_module("faust.cli.faust").cli()
    sys.exit()
