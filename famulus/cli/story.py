"""A run as a person reads it: where it stands, its steps, what happened when."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from famulus.blueprint import ABSENT
from famulus.cli.terminal import STATUS_STYLES, clock_text, one_line, plain, value_text
from famulus.engine.durations import duration_text
from famulus.engine.reading import EventView, RunSummary, RunView, StepView

STEPS_SHOWN: Final = 200
CONTEXT_SHOWN: Final = 50


def status_text(status: str) -> Text:
    return Text(status.replace("_", " "), style=STATUS_STYLES.get(status, ""))


def headline(run: RunSummary) -> Text:
    """One line, and a second one with the reason if there is one."""
    line = Text.assemble(
        (plain(run.run_id), "bold"),
        "  ",
        status_text(run.status),
        f"  {one_line(run.blueprint_id)} {one_line(run.version)}",
        (f"  {_took(run)}, started {clock_text(run.created_at)}", "dim"),
    )
    return line if run.reason is None else Text.assemble(line, "\n", (one_line(run.reason, limit=1000), "red"))


def progress(view: RunView) -> RenderableType:
    """While a run goes on: headline and steps."""
    return Group(headline(view.summary), steps_table(view.steps))


def story(view: RunView, events: Sequence[EventView], *, more_events: bool = False) -> RenderableType:
    """Everything: headline, input, steps, failures, timeline, context."""
    parts: list[RenderableType] = [headline(view.summary), *_around(view)]
    if view.input:
        parts.append(Text(f"Input {value_text(view.input, limit=300)}", style="dim"))
    parts += [Text(), steps_table(view.steps)]
    parts += [part for step in view.steps if step.error is not None for part in (Text(), _failure(step))]
    parts += [Text(), _timeline(events, began=view.summary.created_at)]
    if more_events:
        parts.append(Text("... and more: famulus run show --json prints all", style="dim"))
    own = {key: value for key, value in view.context.items() if key not in {step.node_id for step in view.steps}}
    if own:
        parts += [Text(), _context_table(own)]
    return Group(*parts)


def _around(view: RunView) -> Iterable[RenderableType]:
    """What else there is to know of where a run stands."""
    if view.parent is not None:
        yield Text(f"Child of run {plain(view.parent.run_id)}, step {one_line(view.parent.step_id)}", style="dim")
    if view.starts_at is not None:
        yield Text(f"Begins at {clock_text(view.starts_at)}", style="dim")
    if view.ending is not None:
        yield Text(f"Completed steps are being compensated; it will be {view.ending} then", style="dim")


def steps_table(steps: Sequence[StepView]) -> Table:
    table = Table("Step", "Status", "Attempt", "Took", _rest_of_line("Result"), box=None, pad_edge=False, expand=True)
    for step in steps[:STEPS_SHOWN]:
        table.add_row(
            Text(one_line(step.step_id, limit=40), no_wrap=True),
            status_text(step.status),
            str(step.attempt) if step.attempt > 1 else "",
            duration_text(_step_seconds(step)),
            _result(step),
        )
    if len(steps) > STEPS_SHOWN:
        table.add_row(f"... and {len(steps) - STEPS_SHOWN} more", "", "", "", "")
    return table


def runs_table(runs: Iterable[RunSummary]) -> Table:
    table = Table("Run", "Status", "Blueprint", "Version", "Started", "Took", box=None, pad_edge=False)
    for run in runs:
        table.add_row(
            Text(plain(run.run_id)),
            status_text(run.status),
            Text(one_line(run.blueprint_id)),
            Text(one_line(run.version)),
            clock_text(run.created_at),
            duration_text(_run_seconds(run)),
        )
    return table


def _took(run: RunSummary) -> str:
    return f"{'for' if run.ended_at is None else 'took'} {duration_text(_run_seconds(run))}"


def _run_seconds(run: RunSummary) -> float:
    return (time.time() if run.ended_at is None else run.ended_at) - run.created_at


def _step_seconds(step: StepView) -> float | None:
    if step.started_at is None:
        return None
    return (time.time() if step.ended_at is None else step.ended_at) - step.started_at


def _result(step: StepView) -> Text:
    if step.progress is not None:
        return Text(f"{step.progress['fraction']:.0%} {one_line(step.progress['text'])}".rstrip(), style="cyan")
    waits = _waits(step)
    if waits:
        return Text(waits, style="cyan")
    if step.reason is not None:
        return Text(one_line(step.reason), style="red" if step.status == "failed" else "dim")
    output = "" if step.output is ABSENT or step.output is None else value_text(step.output)
    return Text(f"{one_line(step.action)}: {output}" if step.action else output)


def _waits(step: StepView) -> str:
    """What the step waits for and until when, and how far its items are; empty if it does not wait."""
    waiting = step.waiting or {}
    words = []
    match waiting.get("kind"):
        case "timer":
            words.append("sleeps")
        case "signal":
            signal = waiting.get("signal")
            words.append(f"waits for signal {one_line(signal, limit=60)}" if signal else "waits to be resumed")
        case "webhook":
            words.append("waits for a call of its webhook")
        case "child":
            words.append(f"waits for run {plain(waiting['run_id'])}")
        case _:
            pass
    if step.items is not None and step.ended_at is None:
        failed = f", {step.items['failed']} failed" if step.items["failed"] else ""
        words.append(f"{step.items['done']} of {step.items['count']} items done{failed}")
    if step.wake_at is not None:
        words.append(f"{'until' if waiting else 'again at'} {clock_text(step.wake_at)}")
    if waiting.get("token_expires_at") is not None:
        words.append(f"(its token is good until {clock_text(waiting['token_expires_at'])})")
    return ", ".join(words) if len(words) > 1 and step.items is not None else " ".join(words)


def _failure(step: StepView) -> Text:
    error = step.error or {}
    told = f"{error.get('type', '')}: {error.get('message', '')}"
    return Text.assemble(
        (f"{plain(step.step_id)} failed: ", "bold red"),
        plain(told),
        (f"\n{plain(error.get('traceback') or '').rstrip()}", "dim"),
    )


def _timeline(events: Sequence[EventView], *, began: float) -> Table:
    table = Table("At", "What happened", "", box=None, pad_edge=False)
    for event in events:
        table.add_row(
            Text(f"+{duration_text(event.at - began)}", style="dim", justify="right"), event.type, _about(event.data)
        )
    return table


def _about(data: dict[str, Any]) -> Text:
    """The step by its name alone, the rest by name and value."""
    rest = {key: value for key, value in data.items() if key not in {"step", "node"}}
    if "ms" in rest:
        rest["took"] = duration_text(rest.pop("ms") / 1000)
    words = [f"{key} {value if isinstance(value, str | int) else value_text(value)}" for key, value in rest.items()]
    step = one_line(str(data.get("step", "")))
    return Text.assemble(step, "  " if step and words else "", (one_line(", ".join(words), limit=300), "dim"))


def _rest_of_line(title: str) -> Column:
    """What the other columns leave, cut off at the end of the line."""
    return Column(title, ratio=1, no_wrap=True, overflow="ellipsis")


def _context_table(context: dict[str, Any]) -> Table:
    table = Table("Context", _rest_of_line("Value"), box=None, pad_edge=False, expand=True)
    for key in sorted(context)[:CONTEXT_SHOWN]:
        table.add_row(Text(one_line(key)), Text(value_text(context[key])))
    if len(context) > CONTEXT_SHOWN:
        table.add_row(f"... and {len(context) - CONTEXT_SHOWN} more", "")
    return table
