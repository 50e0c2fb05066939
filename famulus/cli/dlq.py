"""``famulus dlq``: records that could not be handled. Look for them, send them again, drop them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from famulus.cli.opening import user
from famulus.cli.servers import open_existing_stores
from famulus.cli.terminal import STATUS_STYLES, clock_text, json_option, one_line, plain, print_json
from famulus.client.servers import open_bus, reachable
from famulus.engine.dead_letters.desk import STATES, LetterDesk, LetterFilter
from famulus.engine.dead_letters.showing import hex_dump, letter_json, listed_json, text_of
from famulus.errors import FamulusError
from famulus.ports import ListedLetter, StoredLetter
from famulus.settings import Settings

TEXT_SHOWN: Final = 20_000
REASON_SHOWN: Final = 120
AT_MOST: Final = 10_000
_STYLES: Final = {"open": "yellow", "redriven": "green", "dropped": "dim"}


class _Moment(click.ParamType):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(value).astimezone().timestamp()  # without an offset: as the clock here
        except ValueError:
            self.fail(f"{value!r} is no time, expected such as 2026-11-24T15:00 or seconds since 1970", param, ctx)


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which letters are meant."""
    options = (
        click.option("--code", help="Such as not_json, unknown_blueprint."),
        click.option("--topic", help="Where the record came from."),
        click.option("--run", "run_id", metavar="ID", help="The run that the record names."),
        click.option("--since", type=_Moment(), help="Written then or later."),
        click.option("--until", type=_Moment(), help="Written before."),
        click.option("--text", help="In the reason, in any case of letters."),
    )
    for option in reversed(options):
        command = option(command)
    return command


id_arguments = click.argument("letter_ids", metavar="[ID]...", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All open letters that the filters let pass.")
by_option = click.option("--by", help="Who asks. Default: the user of this system.")


@click.group()
def dlq() -> None:
    """Records that could not be handled: look for them, send them again, drop them."""


@dlq.command()
@filters
@click.option("--state", type=click.Choice([*STATES, "any"]), default="open", show_default=True)
@click.option("--limit", type=click.IntRange(1, AT_MOST), default=20, show_default=True)
@json_option
def ls(*, state: str, limit: int, as_json: bool, **asked: Any) -> None:
    """List dead letters, newest first."""
    wanted = LetterFilter(state=None if state == "any" else state, **asked)
    asyncio.run(_ls(wanted, limit=limit, as_json=as_json))


@dlq.command()
@click.argument("letter_id", metavar="ID")
@json_option
def show(*, letter_id: str, as_json: bool) -> None:
    """Show a dead letter: why, where from, and its bytes."""
    asyncio.run(_show(letter_id, as_json=as_json))


@dlq.command()
@id_arguments
@all_option
@filters
@click.option("--again", is_flag=True, help="Also what was redriven or dropped before.")
@by_option
@json_option
def redrive(
    *, letter_ids: Sequence[str], everything: bool, again: bool, by: str | None, as_json: bool, **asked: Any
) -> None:
    """Send records again to the topics that they came from, as they were. Twice is harmless."""
    wanted = _wanted(letter_ids, everything=everything, asked=asked)

    async def act(desk: LetterDesk, letter_id: str) -> StoredLetter:
        return await desk.redrive(letter_id, by=by or user(), again=again)

    _finish(_act(letter_ids, wanted, act, done="redriven", with_bus=True, as_json=as_json))


@dlq.command()
@id_arguments
@all_option
@filters
@click.option("--reason", help="Why, for the record.")
@by_option
@json_option
def drop(
    *, letter_ids: Sequence[str], everything: bool, reason: str | None, by: str | None, as_json: bool, **asked: Any
) -> None:
    """Mark letters as not wanted. They can still be shown."""
    wanted = _wanted(letter_ids, everything=everything, asked=asked)

    async def act(desk: LetterDesk, letter_id: str) -> StoredLetter:
        return await desk.drop(letter_id, by=by or user(), reason=reason)

    _finish(_act(letter_ids, wanted, act, done="dropped", with_bus=False, as_json=as_json))


def _wanted(letter_ids: Sequence[str], *, everything: bool, asked: dict[str, Any]) -> LetterFilter:
    is_filtered = any(value is not None for value in asked.values())
    if letter_ids and (everything or is_filtered):
        raise click.UsageError("give ids, or --all with filters, not both")
    if not letter_ids and not everything:
        raise click.UsageError("say which letters: their ids, or --all with filters (famulus dlq ls takes the same)")
    return LetterFilter(state="open", **asked)


def _finish(acting: Any) -> None:
    if not asyncio.run(acting):
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _desk(*, with_bus: bool = False) -> AsyncIterator[LetterDesk]:
    settings = Settings.load()
    async with AsyncExitStack() as opened:
        if with_bus:
            settings = reachable(settings)
        stores = await opened.enter_async_context(open_existing_stores(settings))
        bus = await opened.enter_async_context(open_bus(settings, client_id="famulus-cli")) if with_bus else None
        yield LetterDesk(stores.letters, bus, time.time)


async def _ls(asked: LetterFilter, *, limit: int, as_json: bool) -> None:
    async with _desk() as desk:
        found = await desk.find(asked, limit=limit)
    if as_json:
        print_json([listed_json(each) for each in found])
    elif found:
        Console().print(_table(found))
    else:
        click.echo("No such dead letter.")


async def _show(letter_id: str, *, as_json: bool) -> None:
    async with _desk() as desk:
        stored = await desk.show(letter_id)
    if as_json:
        print_json(letter_json(stored))
    else:
        Console().print(_story(stored))


async def _act(
    letter_ids: Sequence[str],
    wanted: LetterFilter,
    act: Callable[[LetterDesk, str], Any],
    *,
    done: str,
    with_bus: bool,
    as_json: bool,
) -> bool:
    """One after the other; what one refuses keeps no other from it. Says whether all went through."""
    outcomes: list[dict[str, Any]] = []
    async with _desk(with_bus=with_bus) as desk:
        if not letter_ids:
            letter_ids = [each.summary.letter_id for each in await desk.find(wanted, limit=AT_MOST)]
        for letter_id in letter_ids:
            try:
                await act(desk, letter_id)
            except FamulusError as error:
                outcomes.append({"id": letter_id, "outcome": "refused", "reason": str(error)})
            else:
                outcomes.append({"id": letter_id, "outcome": done, "reason": None})
    if as_json:
        print_json(outcomes)
    else:
        _tell(outcomes, done)
    return all(each["outcome"] == done for each in outcomes)


def _tell(outcomes: Sequence[dict[str, Any]], done: str) -> None:
    for each in outcomes:
        if each["outcome"] == done:
            click.echo(f"Dead letter {plain(each['id'])} is {done}")
        else:
            click.echo(plain(each["reason"]), err=True)
    if not outcomes:
        click.echo("No such dead letter.")


def _table(found: Sequence[ListedLetter]) -> Table:
    table = Table("Letter", "State", "Written", "Code", "From", "Run", "Reason", box=None, pad_edge=False)
    for each in found:
        summary = each.summary
        table.add_row(
            Text(plain(summary.letter_id), style="bold", no_wrap=True),
            _state(each.mark.state),
            clock_text(summary.at),
            Text(one_line(summary.code, limit=40)),
            Text(f"{one_line(summary.topic, limit=60)}/{summary.partition}/{summary.offset}"),
            Text(plain(summary.run_id or "")),
            Text(one_line(summary.reason, limit=REASON_SHOWN)),
        )
    return table


def _story(stored: StoredLetter) -> RenderableType:
    letter, summary, mark = stored.letter, stored.letter.summary, stored.mark
    facts = Table(box=None, show_header=False, pad_edge=False)
    told = {
        "reason": f"{summary.code}: {summary.reason}",
        "from": f"{summary.topic}, partition {summary.partition}, offset {summary.offset}",
        "written": clock_text(summary.at),
        "run": summary.run_id,
        "was before": summary.redriven_from,
        "not whole": f"the record has {summary.value_bytes} bytes; it cannot be redriven" if summary.is_cut else None,
        mark.state: None if mark.state == "open" else f"{clock_text(mark.at)} by {mark.by}",
        "note": mark.note,
    }
    for name, fact in told.items():
        if fact:
            facts.add_row(Text(name, style="dim"), Text(plain(fact)))
    headers = Table(box=None, show_header=False, pad_edge=False)
    for name, header in letter.headers:
        shown = "null" if header is None else text_of(header)
        headers.add_row(Text(one_line(name), style="dim"), Text(one_line(shown or (header or b"").hex(" "), limit=300)))
    parts: list[RenderableType] = [Text.assemble((plain(summary.letter_id), "bold"), "  ", _state(mark.state)), facts]
    for title, value in (("Key", letter.key), ("Value", letter.value)):
        parts += [
            Text(),
            Text(f"{title}: none" if value is None else f"{title}, {len(value):,} bytes in all", style="bold"),
        ]
        parts.append(_bytes(value))
    if letter.headers:
        parts += [Text(), Text("Headers", style="bold"), headers]
    return Group(*parts)


def _bytes(value: bytes | None) -> Text:
    """As text where they are one, without what steers a terminal; else as a dump."""
    if value is None:
        return Text("")
    text = text_of(value)
    if text is None:
        return Text("\n".join(hex_dump(value)))
    return Text(plain(text[:TEXT_SHOWN]) + ("\n... --json prints all" if len(text) > TEXT_SHOWN else ""))


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, STATUS_STYLES.get(state, "")))
