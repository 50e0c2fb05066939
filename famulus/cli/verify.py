"""``famulus verify``: whether what is stored of runs agrees with itself, and what to do where it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Final

import click

from famulus.adapters.memory.murmur2 import partition_for
from famulus.cli.servers import open_existing_stores
from famulus.cli.terminal import json_option, plain, print_json_line
from famulus.client.servers import job_partitions, open_bus, reachable, with_embedded
from famulus.engine.audit import AuditOptions, AuditPorts, Deviation, Repairer, audit_all, audit_run
from famulus.engine.catalog import Catalog
from famulus.errors import BusUnavailableError
from famulus.ids import RunId
from famulus.settings import Settings

BROKER_SECONDS: Final = 5.0


@click.command()
@click.option("--run", "run_ids", metavar="ID", multiple=True, help="Look at this run alone; may be given again.")
@click.option("--repair", is_flag=True, help="Ask for what is missing: runs are looked after, timers stored again.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How late a timer, or the news of a child run, may be.",
)
@click.option("--at-rest", is_flag=True, help="Workers have had time for everything: what is due is stuck.")
@json_option
def verify(*, run_ids: Sequence[str], repair: bool, grace: float, at_rest: bool, as_json: bool) -> None:
    """Compare the rows of runs with each other and with what follows from them, and print what does not agree.

    Prints nothing and ends with 0 when all is well; else a line for each deviation, and 1. With --json a line is an
    object. Runs may go on meanwhile, and workers need not be there.
    """
    options = AuditOptions(grace=grace, at_rest=at_rest)
    is_well = asyncio.run(_verify([RunId(run_id) for run_id in run_ids], options, repair=repair, as_json=as_json))
    if not is_well:
        raise click.exceptions.Exit(1)


async def _verify(run_ids: Sequence[RunId], options: AuditOptions, *, repair: bool, as_json: bool) -> bool:
    is_well = True
    async with _opened(Settings.load(), repairs=repair) as (ports, catalog, repairer):
        async for deviation in _deviations(ports, catalog, run_ids, options):
            is_well = False
            _print(deviation, None if repairer is None else await repairer.repair(deviation), as_json=as_json)
    return is_well


async def _deviations(
    ports: AuditPorts, catalog: Catalog, run_ids: Sequence[RunId], options: AuditOptions
) -> AsyncIterator[Deviation]:
    if not run_ids:
        async for deviation in audit_all(ports, catalog, options):
            yield deviation
    for run_id in run_ids:
        for deviation in await audit_run(ports, catalog, run_id, options):
            yield deviation


@asynccontextmanager
async def _opened(settings: Settings, *, repairs: bool) -> AsyncIterator[tuple[AuditPorts, Catalog, Repairer | None]]:
    settings = reachable(settings) if repairs else with_embedded(settings)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_existing_stores(settings))
        bus = await stack.enter_async_context(open_bus(settings, client_id="famulus-verify")) if repairs else None
        partition_of = await _partition_of(settings) if bus is None else bus.partition_of
        ports = AuditPorts(
            runs=stores.runs,
            # Where a timer lies depends on how many partitions the topic has by now.
            timers=None if partition_of is None else stores.timers,
            hooks=stores.hooks,
            partition_of=partition_of,
        )
        catalog = Catalog(stores.blueprints, time.time)
        yield ports, catalog, None if bus is None else Repairer(ports, catalog, bus)


async def _partition_of(settings: Settings) -> Callable[[RunId], int] | None:
    """Which partition of the jobs topic a run is on; ``None`` without a broker. Nothing is created for it."""
    try:
        partitions = await job_partitions(settings, patience=BROKER_SECONDS)
    except BusUnavailableError as error:
        click.echo(f"{plain(str(error))}; timers are not looked for", err=True)
        return None
    return None if partitions is None else lambda run_id: partition_for(run_id.encode(), partitions)


def _print(deviation: Deviation, repaired: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json_line({**asdict(deviation), "repaired": repaired})
        return
    click.echo(plain(str(deviation)) + ("" if repaired is None else f"\n  {plain(repaired)}"))
