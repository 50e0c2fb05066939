"""Following a run until it ends, as a live table or as JSON lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from famulus.cli.story import progress
from famulus.cli.terminal import print_json_line
from famulus.engine.reading import RunReader, RunSummary, RunView, is_ended
from famulus.engine.starting import Started, StartOutcome
from famulus.flow.status import RunStatus
from famulus.ids import RunId

POLL_SECONDS: Final = 0.1
SLOW_POLL_SECONDS: Final = 0.5
"""For what has gone on for a while."""
EAGER_POLLS: Final = 100
APPEAR_SECONDS: Final = 15.0
"""A run that was just started exists as soon as a worker has read its record."""
EVENTS_PAGE: Final = 1000

EXIT_CODES: Final = {RunStatus.COMPLETED: 0, RunStatus.FAILED: 1, RunStatus.CANCELLED: 2}


def exit_code(run: RunSummary) -> int:
    return EXIT_CODES.get(RunStatus(run.status), 1)


async def watch(
    reader: RunReader, run_id: RunId, *, console: Console, go_on: Callable[[], bool] = lambda: True
) -> RunView:
    """Show the run live, if there is a terminal, until it ends; then once more, to stay."""
    with Live(console=console, transient=True, auto_refresh=False) as live:
        async for view in _views(reader, run_id):
            if console.is_terminal:
                live.update(progress(view), refresh=True)
            if is_ended(view.summary.status):
                break
            if not go_on():
                raise click.Abort
    console.print(progress(view))
    return view


async def watch_events(reader: RunReader, run_id: RunId) -> RunSummary:
    """Print each event as a line of JSON as it comes; the summary of the run is the last line."""
    after, polls = -1, 0
    while True:
        # The summary first: an event that is recorded after it only comes one round later.
        run, _ = await reader.summary(run_id)
        while events := await reader.events(run_id, after=after, limit=EVENTS_PAGE):
            for event in events:
                print_json_line({"run_id": run_id, **event.as_json()})
            after = events[-1].seq
        if is_ended(run.status):
            print_json_line(run.as_json())
            return run
        polls += 1
        await _pause(polls)


def require_taken(started: Started) -> None:
    """Raises `ClickException` for a run whose record no worker has taken yet."""
    if started.outcome is StartOutcome.ACCEPTED:
        raise click.ClickException(
            f"no worker has taken run {started.run_id!r} within {APPEAR_SECONDS:g} s: is one running (famulus worker)? "
            "The record stays on the topic, so the run will start as soon as there is one."
        )


async def ended(reader: RunReader, run_id: RunId) -> RunView:
    """Wait in silence for the end of the run."""
    async for view in _views(reader, run_id):
        if is_ended(view.summary.status):
            break
    return view


async def _views(reader: RunReader, run_id: RunId) -> AsyncIterator[RunView]:
    """The run as it stands, again and again."""
    polls = 0
    while True:
        began = time.monotonic()
        yield await reader.show(run_id)
        polls += 1
        await _pause(polls, at_least=time.monotonic() - began)


async def _pause(polls: int, *, at_least: float = 0.0) -> None:
    """A look at a large run takes a while: do not keep the store busy with nothing else."""
    await asyncio.sleep(max(POLL_SECONDS if polls < EAGER_POLLS else SLOW_POLL_SECONDS, at_least))
