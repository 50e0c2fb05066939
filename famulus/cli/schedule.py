"""``famulus schedule``: start runs at given times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.cli.auditing import tell_audit
from famulus.cli.opening import given_input, user
from famulus.cli.run import NOTICE_SECONDS, print_started
from famulus.cli.servers import open_existing_stores
from famulus.cli.terminal import STATUS_STYLES, clock_text, json_option, one_line, plain, print_json, value_text
from famulus.client.servers import open_bus, reachable
from famulus.connect import run_starter
from famulus.engine.catalog import Catalog
from famulus.engine.scheduling.book import ScheduleBook, ScheduledRun, ScheduleOutcome, ScheduleView, StartingBook
from famulus.engine.scheduling.definition import CatchUp, Overlap
from famulus.settings import Settings

TOLD = {
    ScheduleOutcome.CREATED: "is registered",
    ScheduleOutcome.EXISTING: "exists already, the same; nothing is changed",
    ScheduleOutcome.REPLACED: "is replaced",
}

catch_up_choice = click.Choice([each.value for each in CatchUp])
overlap_choice = click.Choice([each.value for each in Overlap])
id_argument = click.argument("schedule_id", metavar="ID")
by_option = click.option("--by", help="Who asks. Default: the user of this system.")


@click.group()
def schedule() -> None:
    """Start runs at given times: create, list, show, pause, trigger and delete schedules."""


@schedule.command()
@id_argument
@click.argument("blueprint", metavar="BLUEPRINT")
@click.option("--cron", metavar="EXPRESSION", help="Five fields, such as '0 6 * * MON-FRI'.")
@click.option("--timezone", metavar="ZONE", help="Of --cron, such as Europe/Berlin. Default: UTC.")
@click.option("--every", metavar="DURATION", help="Instead of --cron: such as 30s, 15m, 2h, 1d.")
@click.option("--anchor", metavar="TIME", help="Of --every: one of the ticks. Default: 1970-01-01T00:00:00Z.")
@click.option("--version", help="Default: the version registered last, when a run starts.")
@click.option("--input", "given", metavar="JSON|@FILE|-", help="The initial context of each run, a JSON object.")
@click.option("--start", metavar="TIME", help="No tick before it.")
@click.option("--end", metavar="TIME", help="No tick after it.")
@click.option(
    "--catch-up",
    type=catch_up_choice,
    help="What is started of missed ticks. Default: last.",
)
@click.option("--catch-up-limit", type=int, help="The most of them that `all` starts. Default: 100.")
@click.option("--overlap", type=overlap_choice, help="While the run before lasts. Default: allow.")
@click.option("--paused", is_flag=True, help="It ticks when it is unpaused.")
@click.option("--replace", is_flag=True, help="Take the place of another schedule of this id.")
@by_option
@json_option
def create(
    *, schedule_id: str, blueprint: str, given: str | None, replace: bool, as_json: bool, **options: Any
) -> None:
    """Register a schedule that starts runs of a registered blueprint. A time is ISO 8601 with an offset or Z."""
    document = {
        "id": schedule_id,
        "blueprint_id": blueprint,
        "input": given_input(given),
        **{name: value for name, value in options.items() if value is not None},
        "by": options["by"] or user(),
    }
    asyncio.run(_create(document, replace=replace, as_json=as_json))


@schedule.command()
@json_option
def ls(*, as_json: bool) -> None:
    """List the schedules: when they tick next, and their last run."""
    asyncio.run(_ls(as_json=as_json))


@schedule.command()
@id_argument
@json_option
def show(*, schedule_id: str, as_json: bool) -> None:
    """Show a schedule: how it is defined, its next ticks, its newest runs."""
    asyncio.run(_show(schedule_id, as_json=as_json))


@schedule.command()
@id_argument
@by_option
@json_option
def pause(*, schedule_id: str, by: str | None, as_json: bool) -> None:
    """Let it start nothing more. Ticks that pass meanwhile are not made up for."""
    asyncio.run(_turn(schedule_id, paused=True, by=by or user(), as_json=as_json))


@schedule.command()
@id_argument
@by_option
@json_option
def unpause(*, schedule_id: str, by: str | None, as_json: bool) -> None:
    """Let it tick again, from now on."""
    asyncio.run(_turn(schedule_id, paused=False, by=by or user(), as_json=as_json))


@schedule.command()
@id_argument
@by_option
@json_option
def delete(*, schedule_id: str, by: str | None, as_json: bool) -> None:
    """Remove a schedule. Runs that it has started go on."""
    asyncio.run(_delete(schedule_id, by=by or user(), as_json=as_json))


@schedule.command()
@id_argument
@click.option("--at", metavar="TIME", help="The tick to start the run of. Default: now.")
@by_option
@json_option
def trigger(*, schedule_id: str, at: str | None, by: str | None, as_json: bool) -> None:
    """Start its run of a time, whatever pause and overlap say. The same time again starts nothing new."""
    asyncio.run(_trigger(schedule_id, at=at, by=by or user(), as_json=as_json))


@asynccontextmanager
async def _book() -> AsyncIterator[ScheduleBook]:
    """For what needs the store alone."""
    settings = Settings.load()
    async with open_existing_stores(settings) as stores:
        catalog = Catalog(stores.blueprints, time.time)
        yield ScheduleBook(
            stores.schedules,
            runs=stores.runs,
            catalog=catalog,
            now=time.time,
            max_record_bytes=settings.max_record_bytes,
        )


@asynccontextmanager
async def _starting_book() -> AsyncIterator[StartingBook]:
    settings = reachable(Settings.load())
    async with open_existing_stores(settings) as stores, open_bus(settings, client_id="famulus-cli") as bus:
        catalog = Catalog(stores.blueprints, time.time)
        starter = run_starter(bus, stores, catalog, settings)
        yield StartingBook(stores.schedules, runs=stores.runs, catalog=catalog, starter=starter, now=time.time)


async def _create(document: dict[str, Any], *, replace: bool, as_json: bool) -> None:
    async with _book() as book:
        registered = await book.create(document, replace_old=replace)
    view = registered.schedule
    if as_json:
        print_json({"outcome": registered.outcome, "schedule": view.as_json()})
        return
    click.echo(f"Schedule {plain(view.id)} {TOLD[registered.outcome]}{_next_told(view)}")


async def _ls(*, as_json: bool) -> None:
    async with _book() as book:
        found = await book.all()
    if as_json:
        print_json([view.as_json() for view in found])
    elif found:
        Console().print(_table(found))
    else:
        click.echo("No schedule yet: famulus schedule create ID BLUEPRINT --cron '0 6 * * *'")


async def _show(schedule_id: str, *, as_json: bool) -> None:
    async with _book() as book:
        view = await book.show(schedule_id)
    if as_json:
        print_json(view.as_json())
        return
    console = Console()
    console.print(Text(f"{plain(view.id)}  {one_line(view.timing)}", style="bold"))
    facts = Table(box=None, show_header=False)
    for name, value in view.definition.items():
        if name != "id" and value is not None:
            facts.add_row(
                Text(name, style="dim"), Text(one_line(value) if isinstance(value, str) else value_text(value))
            )
    for name, ticks in (("next", view.next_ticks), ("waiting", () if view.waiting is None else (view.waiting,))):
        if ticks:
            facts.add_row(Text(name, style="dim"), "\n".join(clock_text(tick) for tick in ticks))
    if view.problem:
        facts.add_row(Text("problem", style="dim"), Text(plain(view.problem), style="bold red"))
    console.print(facts)
    runs = Table("Run", "Status", box=None)
    for run in view.runs:
        runs.add_row(Text(run.run_id), _status(run))
    console.print(runs if view.runs else Text("It has started no run yet.", style="dim"))


async def _turn(schedule_id: str, *, paused: bool, by: str, as_json: bool) -> None:
    async with _book() as book:
        view = await (book.pause if paused else book.unpause)(schedule_id, by=by)
    if as_json:
        print_json(view.as_json())
        return
    click.echo(
        f"Schedule {plain(view.id)} is paused" if paused else f"Schedule {plain(view.id)} ticks{_next_told(view)}"
    )


async def _delete(schedule_id: str, *, by: str, as_json: bool) -> None:
    async with _book() as book:
        await book.delete(schedule_id)
    tell_audit(Settings.load(), "schedule delete", by=by, schedule=schedule_id)
    if as_json:
        print_json({"deleted": schedule_id})
        return
    click.echo(f"Schedule {plain(schedule_id)} is deleted")


async def _trigger(schedule_id: str, *, at: str | None, by: str, as_json: bool) -> None:
    async with _starting_book() as book:
        started = await book.trigger(schedule_id, at=at, by=by, patience_seconds=NOTICE_SECONDS)
        print_started(started, as_json=as_json)


def _table(found: Sequence[ScheduleView]) -> Table:
    table = Table("Schedule", "Ticks", "Blueprint", "Next", "Last run", "", box=None)
    for view in found:
        last = view.runs[0] if view.runs else None
        table.add_row(
            Text(view.id, style="bold"),
            Text(one_line(view.timing)),
            Text(one_line(str(view.definition["blueprint_id"]))),
            _next_cell(view),
            clock_text(last.scheduled_at) if last else "",
            _status(last) if last else Text(""),
        )
    return table


def _next_cell(view: ScheduleView) -> Text:
    if view.problem:
        return Text("cannot be read", style="bold red")
    if view.is_paused:
        return Text("paused", style=STATUS_STYLES["paused"])
    return Text(clock_text(view.next_ticks[0]) if view.next_ticks else "over")


def _status(run: ScheduledRun) -> Text:
    return Text(run.status or "accepted", style=STATUS_STYLES.get(run.status or "", ""))


def _next_told(view: ScheduleView) -> str:
    if view.is_paused:
        return "; it is paused: famulus schedule unpause"
    return f"; next: {clock_text(view.next_ticks[0])}" if view.next_ticks else "; no tick is left of it"
