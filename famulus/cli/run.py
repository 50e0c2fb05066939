"""``famulus run``: start, show, list, watch and cancel runs."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console

from famulus.blueprint import to_mermaid
from famulus.cli import watching
from famulus.cli.servers import open_existing_stores
from famulus.cli.story import runs_table, story
from famulus.cli.terminal import json_option, plain, print_json
from famulus.client.servers import open_bus, reachable, with_embedded
from famulus.connect import open_progress
from famulus.engine.catalog import Catalog
from famulus.engine.reading import EventView, RunReader
from famulus.engine.starting import RunStarter, Started, StartOutcome
from famulus.flow.status import RunStatus
from famulus.ids import BlueprintId, Digest, RunId
from famulus.settings import Settings

T = TypeVar("T")

EVENTS_SHOWN: Final = 1000
NOTICE_SECONDS: Final = 2.0
"""How long a start waits to see its run recorded, if nobody wants to follow it."""

id_argument = click.argument("run_id", metavar="ID")


@click.group()
def run() -> None:
    """Start, show, list, watch and cancel runs."""


@run.command()
@click.argument("blueprint", metavar="BLUEPRINT")
@click.option("--version", help="Default: the version registered last.")
@click.option("--input", "given", metavar="JSON|@FILE|-", help="The initial context, a JSON object. -: standard input.")
@click.option("--id", "run_id", help="Default: a new one. The same id again starts nothing new.")
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit code 0 completed, 1 failed, 2 cancelled.")
@json_option
def start(
    *, blueprint: str, version: str | None, given: str | None, run_id: str | None, wait: bool, as_json: bool
) -> None:
    """Start a run of a registered blueprint."""
    document = given_input(given)
    _finish(_start(BlueprintId(blueprint), version=version, input=document, run_id=run_id, wait=wait, as_json=as_json))


@run.command()
@id_argument
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart, coloured by where each step stands.")
@json_option
def show(*, run_id: str, mermaid: bool, as_json: bool) -> None:
    """Tell the story of a run: where it stands, its steps, what happened when."""
    asyncio.run(_draw(RunId(run_id)) if mermaid else _show(RunId(run_id), as_json=as_json))


@run.command()
@click.option("--status", type=click.Choice([status.value for status in RunStatus]))
@click.option("--blueprint", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
def ls(*, status: str | None, blueprint: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    asyncio.run(_ls(status=status, blueprint_id=blueprint, limit=limit, as_json=as_json))


@run.command()
@id_argument
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each event.")
def watch(*, run_id: str, as_json: bool) -> None:
    """Follow a run to its end; exit code 0 completed, 1 failed, 2 cancelled."""
    _finish(_watch(RunId(run_id), as_json=as_json))


@run.command()
@id_argument
@click.option("--reason", default="cancelled on request", show_default=True)
@click.option("--by", help="Who cancels. Default: the user of this system.")
@json_option
def cancel(*, run_id: str, reason: str, by: str | None, as_json: bool) -> None:
    """Ask for the end of a run; what it has recorded stays."""
    asyncio.run(_cancel(RunId(run_id), reason=reason, by=by or user(), as_json=as_json))


def _finish(following: Coroutine[Any, Any, int]) -> None:
    raise click.exceptions.Exit(asyncio.run(following))


def given_input(given: str | None) -> dict[str, Any]:
    """The initial context that an option gives. Raises `UsageError` for what is no JSON object."""
    if given is None:
        return {}
    try:
        if given == "-":
            data = sys.stdin.buffer.read()
        else:
            data = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
        document = msgspec.json.decode(data)
    except OSError as error:
        raise click.UsageError(f"--input: {given[1:]} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise click.UsageError(f"--input is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError("--input is not an object, expected a JSON object such as '{\"n\": 1}'")
    return document


def user() -> str:
    """Who asks, where no one else is named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "cli"


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[RunReader]:
    async with open_existing_stores(settings) as stores, open_progress(with_embedded(settings)) as progress:
        yield RunReader(stores.runs, Catalog(stores.blueprints, time.time), progress)


@asynccontextmanager
async def _starter(settings: Settings) -> AsyncIterator[tuple[RunStarter, RunReader]]:
    settings = reachable(settings)
    async with (
        open_existing_stores(settings) as stores,
        open_progress(settings) as progress,
        open_bus(settings, client_id="famulus-cli") as bus,
    ):
        catalog = Catalog(stores.blueprints, time.time)
        starter = RunStarter(stores.runs, catalog, bus, max_record_bytes=settings.max_record_bytes)
        yield starter, RunReader(stores.runs, catalog, progress)


async def _start(
    blueprint_id: BlueprintId,
    *,
    version: str | None,
    input: dict[str, Any],
    run_id: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    async with _starter(Settings.load()) as (starter, reader):
        started = await starter.start(
            blueprint_id,
            version=version,
            input=input,
            run_id=run_id,
            patience_seconds=watching.APPEAR_SECONDS if wait else NOTICE_SECONDS,
        )
        if not wait:
            print_started(started, as_json=as_json)
            return 0
        watching.require_taken(started)
        if as_json:
            view = await watching.ended(reader, started.run_id)
            print_json(view.as_json())
        else:
            view = await watching.watch(reader, started.run_id, console=Console())
        return watching.exit_code(view.summary)


async def _show(run_id: RunId, *, as_json: bool) -> None:
    async with _reader(Settings.load()) as reader:
        view = await reader.show(run_id)
        events = await reader.events(run_id, limit=EVENTS_SHOWN)
        if as_json:
            print_json({**view.as_json(), "events": [event.as_json() async for event in _all_events(reader, run_id)]})
            return
        Console().print(story(view, events, more_events=len(events) == EVENTS_SHOWN))


async def _draw(run_id: RunId) -> None:
    async with open_existing_stores(Settings.load()) as stores:
        catalog = Catalog(stores.blueprints, time.time)
        view = await RunReader(stores.runs, catalog).show(run_id)
        blueprint_id, version = BlueprintId(view.summary.blueprint_id), view.summary.version
        graph = await catalog.pinned(Digest(view.digest), blueprint_id=blueprint_id, version=version)
    click.echo(to_mermaid(graph.blueprint, statuses={step.node_id: step.status for step in view.steps}), nl=False)


async def _all_events(reader: RunReader, run_id: RunId) -> AsyncIterator[EventView]:
    after = -1
    while events := await reader.events(run_id, after=after, limit=EVENTS_SHOWN):
        for event in events:
            yield event
        after = events[-1].seq


async def _ls(*, status: str | None, blueprint_id: str | None, limit: int, as_json: bool) -> None:
    async with _reader(Settings.load()) as reader:
        runs = await reader.recent(limit=limit, status=status, blueprint_id=blueprint_id)
    if as_json:
        print_json([each.as_json() for each in runs])
    elif runs:
        Console().print(runs_table(runs))
    else:
        click.echo("No such run." if status or blueprint_id else "No run yet: famulus run start BLUEPRINT")


async def _watch(run_id: RunId, *, as_json: bool) -> int:
    async with _reader(Settings.load()) as reader:
        if as_json:
            return watching.exit_code(await watching.watch_events(reader, run_id))
        return watching.exit_code((await watching.watch(reader, run_id, console=Console())).summary)


async def _cancel(run_id: RunId, *, reason: str, by: str, as_json: bool) -> None:
    async with _starter(Settings.load()) as (starter, _):
        await starter.cancel(run_id, by=by, reason=reason)
    if as_json:
        print_json({"run_id": run_id, "requested": "cancel", "by": by, "reason": reason})
    else:
        click.echo(f"Run {plain(run_id)} is asked to end: famulus run watch {plain(run_id)}")


def print_started(started: Started, *, as_json: bool) -> None:
    if as_json:
        print_json({"run_id": started.run_id, "outcome": started.outcome})
        return
    run_id = plain(started.run_id)
    told = {
        StartOutcome.STARTED: "has started",
        StartOutcome.EXISTING: "exists already, with the same input; nothing new is started",
        StartOutcome.ACCEPTED: "is accepted; no worker has taken it yet",
    }
    click.echo(f"Run {run_id} {told[started.outcome]}: famulus run watch {run_id}")
