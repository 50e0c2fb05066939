"""The story of runs as text: a line for each fact, with the virtual time at which it happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint import ABSENT
from famulus.ids import RunId, StepId

if TYPE_CHECKING:
    from famulus.testing.facts import Fact, RecordedRuns

INDENT: Final = "    "
VALUE_CHARACTERS: Final = 60
STEP_CHARACTERS: Final = 20
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def trace_of(runs: RecordedRuns) -> str:
    lines = list(_lines(runs))
    width = max((len(time) for time, _ in lines), default=0)
    return "\n".join(f"{time:>{width}}  {text}".rstrip() for time, text in lines)


def clock_text(seconds: float) -> str:
    """``00:00:05.000``, with the days in front where there are any; a time before the run shows as its begin."""
    milliseconds = max(0, round(seconds * 1000))
    whole, rest = divmod(milliseconds, 1000)
    days, whole = divmod(whole, _DAY)
    text = f"{whole // _HOUR:02}:{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}.{rest:03}"
    return f"{days}d {text}" if days else text


def duration_text(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:g} s"
    return clock_text(seconds)


def _lines(runs: RecordedRuns) -> Iterator[tuple[str, str]]:
    """Time and text of each."""
    depths: dict[str, int] = {}
    for fact in runs.facts:
        time = clock_text(fact.at)
        if fact.run_id not in depths:
            depths[fact.run_id] = _depth(runs, fact, depths)
            if depths[fact.run_id]:
                birth = runs.runs[RunId(fact.run_id)].birth
                yield time, f"{INDENT * depths[fact.run_id]}child run of {birth.blueprint_id}"
        yield time, f"{INDENT * depths[fact.run_id]}{' '.join(_told(runs, fact))}"


def _depth(runs: RecordedRuns, fact: Fact, depths: dict[str, int]) -> int:
    birth = runs.runs[RunId(fact.run_id)].birth
    parent = birth.parent
    if parent is None:
        return 0
    return depths.get(json.loads(parent)["run_id"], 0) + 1


def _told(runs: RecordedRuns, fact: Fact) -> Iterator[str]:
    subject, _, what = fact.type.partition(".")
    name = fact.step or ("run" if subject in ("run", "command") else subject)
    yield f"{name:<{STEP_CHARACTERS}}"
    yield (what if subject in ("run", "step") else fact.type).replace("_", " ")
    data = dict(fact.data)
    if data.get("attempt", 1) > 1:
        yield f"(attempt {data['attempt']})"
    for key in ("action", "signal", "name", "child"):
        if data.get(key) is not None:
            yield f"{key} {data[key]}"
    if data.get("wake_at") is not None:
        yield f"until {clock_text(data['wake_at'] - runs.epoch)}"
    if fact.type == "step.retrying":
        yield f"after {duration_text((data.get('delay_ms') or 0) / 1000)}:"
    if data.get("items") is not None:
        yield f"into {data['items']} items"
    if data.get("fallback") is not None:
        yield f"handled by {data['fallback']}:"
    if data.get("reason") is not None:
        yield str(data["reason"])
    if fact.type == "step.completed":
        yield from _output(runs, fact)


def _output(runs: RecordedRuns, fact: Fact) -> Iterator[str]:
    step = runs.runs[RunId(fact.run_id)].steps.get(StepId(fact.step or ""))
    if step is not None and step.output is not ABSENT and step.output is not None:
        yield f"-> {_shown(step.output)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 3]}..."
