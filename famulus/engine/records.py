"""Records of the jobs topic: what any producer may send, and what the engine sends to itself.

    start     {"run_id": "...", "blueprint_id": "...", "version": "...", "input": {...}}   version, input optional
              and `start_at`, `by`; of a child run `parent`
    fork      {"type": "fork", "run_id": "...", "from_run": "...", "from_step": "...", "context": {...}, "by": "..."}
    step      {"type": "step", "run_id": "...", "step_id": "...", "attempt": 1}            a hint: the step may be due
    wake      {"type": "wake", "run_id": "..."}                                     look after the run
    timer     {"type": "timer", "run_id": "...", "kind": "step", "step_id": "..."}         a hint: its time has come
    taken     {"type": "taken", "run_id": "...", "step_id": "...", ...}            a worker has this item of a batch
    outcome   {"type": "outcome", "run_id": "...", "step_id": "...", ...}          what it came to: `engine.spreading`
    claimed   {"type": "claimed", "run_id": "...", "claim": {...}}     one of these that is too large: `engine.claims`
    command   {"type": "command", "command": "cancel", "run_id": "..."}                    `famulus.engine.commands`
    flowcraft {"runId": "...", "blueprintId": "...", "nodeId": "..."}                      its adapter's job payload

Unknown fields are ignored. Everything that does not fit is a `BadRecordError` whose code goes into the dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec

from famulus.engine import fields
from famulus.engine.claims import ClaimedRecord
from famulus.engine.commands import ChildNotice, Command, changes_to_context, parse_command
from famulus.engine.fields import shown
from famulus.engine.parents import Parent
from famulus.engine.rows import encode, nests_too_deep
from famulus.engine.spreading import ItemDue, ItemOutcome, ItemTaken, read_item
from famulus.errors import BadRecordError
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import BlueprintId, RunId, StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    run_id: RunId
    blueprint_id: BlueprintId
    version: str | None
    input: dict[str, Any]
    parent: Parent | None = None
    """The run and step that wait for this run."""
    start_at: float | None = None
    """The run exists at once, and begins at this time; seconds since the Unix epoch."""
    by: str | None = None
    is_job_of_run: bool = False
    """Flowcraft's: it names a node of a run that may exist, and says nothing about the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Start a run with what another one had done before a step, from that step on."""

    run_id: RunId
    """Of the new run."""
    from_run: RunId
    from_step: StepId
    """A step or a node."""
    context: Mapping[str, Any]
    """Keys that the new run is to have other values of."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepHint:
    run_id: RunId
    step_id: StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemNews:
    """What a worker tells of an item that it was sent."""

    run_id: RunId
    told: ItemTaken | ItemOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The record itself is kept apart."""

    run_id: RunId
    told: ClaimedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Load the run if it is not in memory, and set going what is due of it."""

    run_id: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDueRecord:
    """A time may have come that something of the run was waiting for."""

    run_id: RunId
    key: TimerKey


Job: TypeAlias = Start | Fork | StepHint | ItemNews | Wake | TimerDueRecord | Command | ChildNotice


def parse_job(value: bytes | None, *, max_bytes: int) -> Job | Claimed:  # noqa: PLR0911  # a table of types
    """Read a record's value. Raises `BadRecordError`."""
    document = _document(value, max_bytes)
    if "runId" in document and "run_id" not in document:
        return _from_flowcraft(document)
    match document.get("type", "start"):
        case "start":
            return _start(document)
        case "fork":
            return _fork(document)
        case "step":
            return StepHint(run_id=fields.run_id(document), step_id=StepId(fields.text(document, "step_id")))
        case "wake":
            return Wake(run_id=fields.run_id(document))
        case "timer":
            return _timer(document)
        case "taken":
            return _news(read_item(document, ItemTaken))
        case "outcome":
            return _news(read_item(document, ItemOutcome))
        case "claimed":
            return _claimed(document)
        case "command":
            return parse_command(document)
        case other:
            raise BadRecordError(
                f"`type` is {shown(other)}, expected start, fork, step, wake, timer, taken, outcome, command, claimed",
                code="unknown_record_type",
            )


def parse_redeemed(value: bytes | None, claimed: Claimed, *, max_bytes: int) -> Job:
    """Read the record that a claim stood for. Raises `BadRecordError`."""
    job = parse_job(value, max_bytes=max_bytes)
    if isinstance(job, Claimed) or job.run_id != claimed.run_id:
        raise BadRecordError("what the claim stands for is no record of the same run", code="wrong_claim")
    return job


def parse_item(value: bytes | None, *, max_bytes: int) -> ItemDue:
    """Read a value of the items topic. Raises `BadRecordError`."""
    document = _document(value, max_bytes)
    if document.get("type") != "item":
        raise BadRecordError(f"`type` is {shown(document.get('type'))}, expected item", code="unknown_record_type")
    return read_item(document, ItemDue)


def start_record(
    run_id: RunId,
    blueprint_id: BlueprintId,
    *,
    input: dict[str, Any],
    version: str | None = None,
    parent: Parent | None = None,
    start_at: float | str | None = None,
    by: str | None = None,
) -> bytes:
    given = {"version": version, "parent": parent, "start_at": start_at, "by": by}
    return encode(
        {
            "type": "start",
            "run_id": run_id,
            "blueprint_id": blueprint_id,
            "input": input,
            **{name: value for name, value in given.items() if value is not None},
        }
    )


def fork_record(run_id: RunId, *, from_run: RunId, from_step: StepId, context: Mapping[str, Any], by: str) -> bytes:
    return encode(
        {
            "type": "fork",
            "run_id": run_id,
            "from_run": from_run,
            "from_step": from_step,
            "context": context,
            "by": by,
        }
    )


def step_record(run_id: RunId, step_id: StepId, attempt: int) -> bytes:
    return msgspec.json.encode({"type": "step", "run_id": run_id, "step_id": step_id, "attempt": attempt})


def wake_record(run_id: RunId) -> bytes:
    return msgspec.json.encode({"type": "wake", "run_id": run_id})


def timer_record(run_id: RunId, key: TimerKey) -> bytes:
    return msgspec.json.encode({"type": "timer", "run_id": run_id, "kind": key.kind.value, "step_id": key.step_id})


def _document(value: bytes | None, max_bytes: int) -> dict[str, Any]:
    if value is None:
        raise BadRecordError("the value is null, expected a JSON object", code="null_value")
    if len(value) > max_bytes:
        raise BadRecordError(
            f"the value has {len(value)} bytes, at most {max_bytes} are accepted (FAMULUS_MAX_RECORD_BYTES; "
            "as an input of our own clients FAMULUS_MAX_VALUE_BYTES)",
            code="too_large",
        )
    try:
        document = msgspec.json.decode(value)
    except RecursionError as error:
        raise BadRecordError("the value is nested too deeply", code="too_deep") from error
    except msgspec.DecodeError as error:
        raise BadRecordError(f"the value is not JSON: {error}", code="not_json") from error
    except UnicodeDecodeError as error:
        raise BadRecordError(f"the value is not UTF-8: {error}", code="not_json") from error
    if nests_too_deep(document, value):
        raise BadRecordError("the value is nested too deeply", code="too_deep")
    if not isinstance(document, dict):
        raise BadRecordError(f"the value is {shown(document)}, expected a JSON object", code="not_an_object")
    return document


def _news(told: ItemTaken | ItemOutcome) -> ItemNews:
    return ItemNews(run_id=RunId(told.run_id), told=told)


def _claimed(document: dict[str, Any]) -> Claimed:
    try:
        told = msgspec.convert(document, ClaimedRecord)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"the claim cannot be read: {error}", code="wrong_type") from error
    return Claimed(run_id=fields.run_id(document), told=told)


def _from_flowcraft(document: dict[str, Any]) -> Start:
    """Its worker sends one job a start node; the first one starts the run, here at all its start nodes."""
    start = _start({"run_id": document["runId"], "blueprint_id": document.get("blueprintId")})
    return replace(start, is_job_of_run=True)


def _start(document: dict[str, Any]) -> Start:
    version = document.get("version")
    if version is not None and not isinstance(version, str):
        raise BadRecordError(f"`version` is {shown(version)}, expected a string", code="wrong_type")
    given = fields.mapping(document, "input")
    return Start(
        run_id=fields.run_id(document),
        blueprint_id=BlueprintId(fields.text(document, "blueprint_id")),
        version=version or None,
        input=given,
        parent=_parent(document.get("parent")),
        start_at=fields.time(document, "start_at"),
        by=fields.optional_text(document, "by"),
    )


def _fork(document: dict[str, Any]) -> Fork:
    return Fork(
        run_id=fields.run_id(document),
        from_run=fields.run_id(document, "from_run"),
        from_step=StepId(fields.text(document, "from_step")),
        context=changes_to_context(fields.mapping(document, "context")),
        by=fields.text(document, "by", default="unknown"),
    )


def _timer(document: dict[str, Any]) -> TimerDueRecord:
    kind = fields.text(document, "kind")
    if kind not in tuple(TimerKind):
        raise BadRecordError(
            f"`kind` is {shown(kind)}, expected one of {', '.join(TimerKind)}", code="unknown_timer_kind"
        )
    step_id = StepId(fields.optional_text(document, "step_id") or "")
    return TimerDueRecord(run_id=fields.run_id(document), key=TimerKey(TimerKind(kind), step_id))


def _parent(given: Any) -> Parent | None:
    if given is None:
        return None
    try:
        return msgspec.convert(given, Parent)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"`parent` is {shown(given)}: {error}", code="wrong_type") from error
