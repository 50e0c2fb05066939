"""``famulus parked``: steps of all runs that were set aside, and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.cli.opening import open_starter, user
from famulus.cli.servers import open_existing_stores
from famulus.cli.terminal import json_option, one_line, plain, print_json
from famulus.client.servers import job_partitions, with_embedded
from famulus.engine.asking import CommandOutcome
from famulus.engine.catalog import Catalog
from famulus.engine.explaining.parked import ParkedStep, ParkedSteps
from famulus.errors import BusUnavailableError, FamulusError
from famulus.settings import Settings

PATIENCE_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0

_CAUSES: Final = {"missing_implementation": "no worker has it", "crash_budget": "it ends processes"}

uses_option = click.option("--uses", metavar="NAME", help="Of one implementation.")


@click.group()
def parked() -> None:
    """Steps that were set aside: no worker has their implementation, or they have ended too many processes."""


@parked.command()
@uses_option
@json_option
def ls(*, uses: str | None, as_json: bool) -> None:
    """List the parked steps of all runs, with their implementation and why."""
    found = asyncio.run(_all(uses))
    if as_json:
        print_json([each.as_json() for each in found])
    elif found:
        Console().print(_table(found))
    else:
        click.echo("No step is parked.")


@parked.command()
@uses_option
@click.option("--by", help="Who asks. Default: the user of this system.")
@json_option
def retry(*, uses: str | None, by: str | None, as_json: bool) -> None:
    """Let the owners of all runs with parked steps try these again. For one run: famulus run retry ID --step STEP."""
    outcomes = asyncio.run(_retry(asyncio.run(_all(uses)), by=by or user()))
    if as_json:
        print_json([{"run_id": run_id, "step_id": step_id, "outcome": told} for run_id, step_id, told in outcomes])
        return
    for run_id, step_id, told in outcomes:
        click.echo(f"Step {plain(step_id)} of run {plain(run_id)}: {plain(told)}")
    if not outcomes:
        click.echo("No step is parked.")


async def _all(uses: str | None) -> list[ParkedStep]:
    settings = with_embedded(Settings.load())
    async with AsyncExitStack() as opened:
        stores = await opened.enter_async_context(open_existing_stores(settings))
        steps = ParkedSteps(stores.runs, Catalog(stores.blueprints, time.time))
        partitions = range(await _partitions(settings))
        return [each async for each in steps.all(partitions, uses=uses)]


async def _partitions(settings: Settings) -> int:
    """Of the jobs topic; of one that exists the settings may say something else."""
    try:
        known = await job_partitions(settings, patience=PATIENCE_SECONDS)
    except BusUnavailableError:
        known = None
    return settings.partitions if known is None else known


async def _retry(found: Sequence[ParkedStep], *, by: str) -> list[tuple[str, str, str]]:
    if not found:
        return []
    outcomes: list[tuple[str, str, str]] = []
    async with open_starter(Settings.load()) as (starter, _):
        for each in found:
            try:
                asked = await starter.commands.send(
                    each.run_id, "retry", {"step_id": each.step_id}, by=by, patience_seconds=ANSWER_SECONDS
                )
            except FamulusError as error:
                outcomes.append((each.run_id, each.step_id, str(error)))
            else:
                told = "is tried again" if asked.outcome is CommandOutcome.ACCEPTED else "is asked for"
                outcomes.append((each.run_id, each.step_id, told))
    return outcomes


def _table(found: Sequence[ParkedStep]) -> Table:
    table = Table("Run", "Step", "Implementation", "Why", "Blueprint", box=None, pad_edge=False)
    for each in found:
        table.add_row(
            Text(plain(each.run_id)),
            Text(one_line(each.step_id, limit=60)),
            Text(one_line(each.uses, limit=80), style="magenta"),
            _CAUSES.get(each.cause, each.cause),
            Text(f"{one_line(each.blueprint_id, limit=60)} {one_line(each.version, limit=20)}"),
        )
    return table
