"""What commands about runs share: the servers of the settings, who asks, values that options give as JSON."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from famulus.cli.servers import open_existing_stores
from famulus.client.servers import open_bus, reachable
from famulus.connect import open_progress, run_starter
from famulus.engine.catalog import Catalog
from famulus.engine.reading import RunReader
from famulus.engine.starting import RunStarter
from famulus.settings import Settings


@asynccontextmanager
async def open_starter(settings: Settings) -> AsyncIterator[tuple[RunStarter, RunReader]]:
    settings = reachable(settings)
    async with (
        open_existing_stores(settings) as stores,
        open_progress(settings) as progress,
        open_bus(settings, client_id="famulus-cli") as bus,
    ):
        catalog = Catalog(stores.blueprints, time.time)
        starter = run_starter(bus, stores, catalog, settings)
        yield starter, RunReader(stores.runs, catalog, progress)


def given_json(given: str, option: str) -> Any:
    """The value that an option gives: JSON, @FILE, or - for standard input. Raises `UsageError`."""
    try:
        if given == "-":
            data = sys.stdin.buffer.read()
        else:
            data = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
        return msgspec.json.decode(data)
    except OSError as error:
        raise click.UsageError(f"{option}: {given[1:]} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise click.UsageError(f"{option} is not JSON: {error}") from error


def given_object(given: str | None, option: str) -> dict[str, Any]:
    """As `given_json`, for an object; empty where nothing is given."""
    if given is None:
        return {}
    document = given_json(given, option)
    if not isinstance(document, dict):
        raise click.UsageError(f"{option} is not an object, expected a JSON object such as '{{\"n\": 1}}'")
    return document


def given_input(given: str | None) -> dict[str, Any]:
    """The initial context that ``--input`` gives."""
    return given_object(given, "--input")


def user() -> str:
    """Who asks, where no one else is named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "cli"
