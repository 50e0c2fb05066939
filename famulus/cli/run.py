"""``famulus run``: start, show, list and watch runs; what is asked of them is in `famulus.cli.control`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from famulus.blueprint import to_mermaid
from famulus.cli import control, watching
from famulus.cli.opening import given_input, open_starter, user
from famulus.cli.servers import open_existing_stores
from famulus.cli.story import runs_table, story
from famulus.cli.terminal import json_option, plain, print_json, print_json_line
from famulus.client.servers import with_embedded
from famulus.connect import open_progress
from famulus.engine.catalog import Catalog
from famulus.engine.reading import EventView, RunReader
from famulus.engine.starting import Started, StartOutcome
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
    """Start, show, list, watch and control runs."""


@run.command()
@click.argument("blueprint", metavar="BLUEPRINT")
@click.option("--version", help="Default: the version registered last.")
@click.option("--input", "given", metavar="JSON|@FILE|-", help="The initial context, a JSON object. -: standard input.")
@click.option("--id", "run_id", help="Default: a new one. The same id again starts nothing new.")
@click.option("--at", "start_at", metavar="TIME", help="Begin then: ISO 8601 with its offset, or seconds since 1970.")
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit code 0 completed, 1 failed, 2 cancelled.")
@json_option
def start(
    *,
    blueprint: str,
    version: str | None,
    given: str | None,
    run_id: str | None,
    start_at: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Start a run of a registered blueprint."""
    _finish(
        _start(
            BlueprintId(blueprint),
            version=version,
            input=given_input(given),
            run_id=run_id,
            start_at=start_at,
            wait=wait,
            as_json=as_json,
        )
    )


@run.command()
@id_argument
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart, coloured by where each step stands.")
@json_option
def show(*, run_id: str, mermaid: bool, as_json: bool) -> None:
    """Tell the story of a run: where it stands, its steps, what happened when."""
    asyncio.run(_draw(RunId(run_id)) if mermaid else _show(RunId(run_id), as_json=as_json))


@run.command()
@id_argument
@click.argument("key", metavar="KEY")
def value(*, run_id: str, key: str) -> None:
    """Print a value of the context as JSON, whole: a key, or the id of a node for its output."""
    asyncio.run(_value(RunId(run_id), key))


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


for command in control.COMMANDS:
    run.add_command(command)


def _finish(following: Coroutine[Any, Any, int]) -> None:
    raise click.exceptions.Exit(asyncio.run(following))


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[RunReader]:
    async with open_existing_stores(settings) as stores, open_progress(with_embedded(settings)) as progress:
        yield RunReader(stores.runs, Catalog(stores.blueprints, time.time), progress)


async def _start(
    blueprint_id: BlueprintId,
    *,
    version: str | None,
    input: dict[str, Any],
    run_id: str | None,
    start_at: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    async with open_starter(Settings.load()) as (starter, reader):
        started = await starter.start(
            blueprint_id,
            version=version,
            input=input,
            run_id=run_id,
            start_at=_seconds(start_at),
            by=user(),
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


async def _value(run_id: RunId, key: str) -> None:
    async with _reader(Settings.load()) as reader:
        found = await reader.values(run_id, [key])
    if key not in found:
        raise click.ClickException(f"run {run_id} has no value {key!r}; `famulus run show {run_id}` lists what it has")
    print_json_line(found[key])


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


def _seconds(time: str | None) -> str | float | None:
    """A time in seconds as a number; the record says what is no time."""
    try:
        return time if time is None else float(time)
    except ValueError:
        return time


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
