"""Commands: what somebody outside asks of a run, as records and as values.

    cancel   {"grace_seconds": 10}       pause, unpause
    signal   {"name": "paid", "payload": {...}}
    resume   {"step_id": "approve", "output": {...}, "action": "yes"}     all optional; no output is not the output null
    retry    {"step_id": "charge"}                                        without it: every failed or parked step
    rerun    {"step_id": "charge", "context": {...}}
    limit    {"step_id": "resize", "max_concurrency": 8, "tolerated_failures": "5%"}
    migrate  {"version": "2"}                                             go on by another version of the blueprint
    child_ended {"step_id": "...", "child": "..."}                        the engine to itself

Each also has `run_id` and, optionally, `by`, `reason` and `command_id`. A step is named by its own id or by its node's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from famulus.blueprint.values import ABSENT
from famulus.engine import fields
from famulus.engine.rows import encode
from famulus.errors import BadRecordError
from famulus.ids import RunId, StepId

GRACE_SECONDS_MAX: Final = 3600.0
COUNT_MAX: Final = 1_000_000_000
COMMAND_ID_CHARACTERS: Final = 128
BY_CHARACTERS: Final = 500
"""Of who asks: it goes into events, and is cut there."""
NOBODY: Final = "unknown"

_SHARE: Final = re.compile(r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]{1,9})?)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    run_id: RunId
    by: str = NOBODY
    reason: str | None = None
    command_id: str | None = None
    """The same command again has the same one, and is carried out once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(_Command):
    grace_seconds: float = 0.0
    """So long nodes that run are asked to stop before they are made to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(_Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpause(_Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(_Command):
    name: str
    payload: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(_Command):
    step_id: StepId | None
    """``None``: whichever step has waited longest."""
    output: Any
    """`ABSENT`: none was given."""
    action: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(_Command):
    step_id: StepId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun(_Command):
    step_id: StepId
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(_Command):
    step_id: StepId
    max_concurrency: int | None
    tolerated_failures: int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrate(_Command):
    version: str
    why_not: str = ""
    """What the owner of the run has found against it."""


Command: TypeAlias = Cancel | Pause | Unpause | Signal | Resume | Retry | Rerun | Limit | Migrate
"""What is asked of a run by somebody who may be told that it cannot be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildNotice:
    """A child run has ended; its rows say how."""

    run_id: RunId
    step_id: StepId
    child: RunId


def parse_command(document: Mapping[str, Any]) -> Command | ChildNotice:
    """Raises `BadRecordError`."""
    name = fields.text(document, "command")
    parse = _PARSERS.get(name)
    if parse is None:
        known = ", ".join(sorted(_PARSERS))
        raise BadRecordError(f"`command` is {fields.shown(name)}, expected one of {known}", code="unknown_command")
    return parse(document)


def name_of(command: Command) -> str:
    return type(command).__name__.lower()


def command_record(
    command: str,
    run_id: RunId,
    *,
    by: str,
    reason: str | None = None,
    command_id: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> bytes:
    """A record with what is given for the command. Raises `OutputError` for what is no JSON."""
    about = {"by": by, "reason": reason, "command_id": command_id}
    return encode(
        {
            **(given or {}),
            "type": "command",
            "command": command,
            "run_id": run_id,
            **{name: value for name, value in about.items() if value is not None},
        }
    )


def cancel_record(run_id: RunId, *, by: str, reason: str) -> bytes:
    return command_record("cancel", run_id, by=by, reason=reason)


def child_ended_record(parent: RunId, step_id: StepId, *, child: RunId) -> bytes:
    return encode({"type": "command", "command": "child_ended", "run_id": parent, "step_id": step_id, "child": child})


def _about(document: Mapping[str, Any]) -> dict[str, Any]:
    command_id = fields.optional_text(document, "command_id")
    if command_id is not None and len(command_id) > COMMAND_ID_CHARACTERS:
        raise BadRecordError(
            f"`command_id` has {len(command_id)} characters, expected at most {COMMAND_ID_CHARACTERS}",
            code="out_of_range",
        )
    return {
        "run_id": fields.run_id(document),
        "by": fields.text(document, "by", default=NOBODY)[:BY_CHARACTERS],
        "reason": fields.optional_text(document, "reason"),
        "command_id": command_id,
    }


def _cancel(document: Mapping[str, Any]) -> Cancel:
    grace = fields.seconds(document, "grace_seconds", at_most=GRACE_SECONDS_MAX)
    return Cancel(**_about(document), grace_seconds=grace or 0.0)


def _pause(document: Mapping[str, Any]) -> Pause:
    return Pause(**_about(document))


def _unpause(document: Mapping[str, Any]) -> Unpause:
    return Unpause(**_about(document))


def _signal(document: Mapping[str, Any]) -> Signal:
    return Signal(**_about(document), name=fields.text(document, "name"), payload=document.get("payload"))


def _resume(document: Mapping[str, Any]) -> Resume:
    return Resume(
        **_about(document),
        step_id=_optional_step(document),
        output=document.get("output", ABSENT),
        action=fields.optional_text(document, "action"),
    )


def _retry(document: Mapping[str, Any]) -> Retry:
    return Retry(**_about(document), step_id=_optional_step(document))


def _rerun(document: Mapping[str, Any]) -> Rerun:
    return Rerun(
        **_about(document), step_id=_step(document), context=changes_to_context(fields.mapping(document, "context"))
    )


def _limit(document: Mapping[str, Any]) -> Limit:
    most = fields.whole_number(document, "max_concurrency", at_least=1, at_most=COUNT_MAX)
    tolerated = _tolerated(document)
    if most is None and tolerated is None:
        raise BadRecordError(
            "`max_concurrency` and `tolerated_failures` are missing, expected one of them", code="missing_field"
        )
    return Limit(**_about(document), step_id=_step(document), max_concurrency=most, tolerated_failures=tolerated)


def _migrate(document: Mapping[str, Any]) -> Migrate:
    return Migrate(**_about(document), version=fields.text(document, "version"))


def _child_ended(document: Mapping[str, Any]) -> ChildNotice:
    return ChildNotice(run_id=fields.run_id(document), step_id=_step(document), child=fields.run_id(document, "child"))


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Command | ChildNotice]]] = {
    "cancel": _cancel,
    "child_ended": _child_ended,
    "limit": _limit,
    "migrate": _migrate,
    "pause": _pause,
    "rerun": _rerun,
    "resume": _resume,
    "retry": _retry,
    "signal": _signal,
    "unpause": _unpause,
}


def changes_to_context(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises `BadRecordError` for keys that are the engine's own."""
    for key in given:
        if key.startswith("_") or not key:
            raise BadRecordError(
                f"`context` has the key {fields.shown(key)}, those with a leading underscore are not to be set",
                code="wrong_type",
            )
    return given


def _step(document: Mapping[str, Any]) -> StepId:
    return StepId(fields.text(document, "step_id"))


def _optional_step(document: Mapping[str, Any]) -> StepId | None:
    given = fields.optional_text(document, "step_id")
    return None if given is None else StepId(given)


def _tolerated(document: Mapping[str, Any]) -> int | str | None:
    given = document.get("tolerated_failures")
    if not isinstance(given, str):
        return fields.whole_number(document, "tolerated_failures", at_least=0, at_most=COUNT_MAX)
    if _SHARE.fullmatch(given) is None:
        raise BadRecordError(
            f"`tolerated_failures` is {fields.shown(given)}, expected a number or a share such as 10%",
            code="wrong_type",
        )
    return given
