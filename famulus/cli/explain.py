"""``famulus explain``: what a run waits for, in one sentence for each step that has not ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from famulus.cli.servers import open_existing_stores
from famulus.cli.story import status_text
from famulus.cli.terminal import clock_text, json_option, one_line, plain, print_json
from famulus.client.live import open_live
from famulus.client.servers import with_embedded
from famulus.engine.catalog import Catalog
from famulus.engine.dead_letters.desk import LetterDesk
from famulus.engine.explaining.explainer import Explainer
from famulus.engine.explaining.explanation import Explanation, RunExplanation
from famulus.engine.reading import RunReader
from famulus.ids import RunId
from famulus.settings import Settings

SENTENCE_CHARACTERS: Final = 2000


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--rows", is_flag=True, help="Ask the store alone, no broker and no Redis.")
@json_option
def explain(*, run_id: str, rows: bool, as_json: bool) -> None:
    """Say what a run waits for: one sentence for each step that has not ended. Exit code 1 if there is no such run."""
    explanation = asyncio.run(_explain(RunId(run_id), rows_alone=rows))
    if as_json:
        print_json(explanation.as_json(clock_text))
    else:
        Console().print(told(explanation))
    if not explanation.exists:
        raise click.exceptions.Exit(1)


def told(explanation: RunExplanation) -> RenderableType:
    parts: list[RenderableType] = [_headline(explanation)]
    parts += [Text(f"  {_sentence(each)}") for each in explanation.of_run]
    if explanation.of_steps:
        table = Table("Step", "Status", "What it waits for", box=None, pad_edge=False)
        for each in explanation.of_steps:
            name = Text(one_line(str(each.step_id), limit=40), no_wrap=True)
            table.add_row(name, status_text(each.status or ""), Text(_sentence(each)))
        parts += [Text(), table]
    if explanation.left_out:
        parts.append(Text(f"... and {explanation.left_out} more", style="dim"))
    return Group(*parts)


def _headline(explanation: RunExplanation) -> Text:
    status = status_text(explanation.status) if explanation.status else Text("unknown", style="bold red")
    return Text.assemble((plain(explanation.run_id), "bold"), "  ", status)


def _sentence(each: Explanation) -> str:
    return one_line(each.sentence(clock_text), limit=SENTENCE_CHARACTERS)


async def _explain(run_id: RunId, *, rows_alone: bool) -> RunExplanation:
    async with _explainer(Settings.load(), rows_alone=rows_alone) as explainer:
        return await explainer.explain(run_id)


@asynccontextmanager
async def _explainer(settings: Settings, *, rows_alone: bool) -> AsyncIterator[Explainer]:
    async with AsyncExitStack() as opened:
        stores = await opened.enter_async_context(open_existing_stores(settings))
        live = None if rows_alone else await opened.enter_async_context(open_live(with_embedded(settings)))
        catalog = Catalog(stores.blueprints, time.time)
        letters = LetterDesk(stores.letters, None, time.time)
        yield Explainer(stores.runs, catalog, RunReader(stores.runs, catalog), live=live, letters=letters)
