"""Records of the jobs topic: what any producer may send, and what the engine sends to itself.

    start     {"run_id": "...", "blueprint_id": "...", "version": "...", "input": {...}}   version, input optional
    step      {"type": "step", "run_id": "...", "step_id": "...", "attempt": 1}            a hint: the step may be due
    wake      {"type": "wake", "run_id": "..."}                                     look after the run
    command   {"type": "command", "command": "cancel", "run_id": "...", "by": "...", "reason": "..."}
    flowcraft {"runId": "...", "blueprintId": "...", "nodeId": "..."}                      its adapter's job payload

Unknown fields are ignored. Everything that does not fit is a `BadRecordError` whose code goes into the dead letter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import msgspec

from famulus.engine.parents import Parent
from famulus.engine.rows import encode, nests_too_deep
from famulus.errors import BadRecordError
from famulus.ids import RUN_ID_PATTERN, BlueprintId, RunId, StepId, is_run_id

COMMANDS: Final = frozenset({"cancel", "child_ended"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    run_id: RunId
    blueprint_id: BlueprintId
    version: str | None
    input: dict[str, Any]
    parent: Parent | None = None
    """The run and step that wait for this run."""
    is_job_of_run: bool = False
    """Flowcraft's: it names a node of a run that may exist, and says nothing about the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepHint:
    run_id: RunId
    step_id: StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Load the run if it is not in memory, and set going what is due of it."""

    run_id: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    run_id: RunId
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildNotice:
    """A child run has ended; its rows say how."""

    run_id: RunId
    step_id: StepId
    child: RunId


Job: TypeAlias = Start | StepHint | Wake | Cancel | ChildNotice


def parse_job(value: bytes | None, *, max_bytes: int) -> Job:
    """Read a record's value. Raises `BadRecordError`."""
    document = _document(value, max_bytes)
    if "runId" in document and "run_id" not in document:
        return _from_flowcraft(document)
    match document.get("type", "start"):
        case "start":
            return _start(document)
        case "step":
            return StepHint(run_id=_run_id(document), step_id=StepId(_text(document, "step_id")))
        case "wake":
            return Wake(run_id=_run_id(document))
        case "command":
            return _command(document)
        case other:
            raise BadRecordError(
                f"`type` is {_shown(other)}, expected start, step, wake or command", code="unknown_record_type"
            )


def start_record(
    run_id: RunId,
    blueprint_id: BlueprintId,
    *,
    input: dict[str, Any],
    version: str | None = None,
    parent: Parent | None = None,
) -> bytes:
    given = {"version": version, "parent": parent}
    return encode(
        {
            "type": "start",
            "run_id": run_id,
            "blueprint_id": blueprint_id,
            "input": input,
            **{name: value for name, value in given.items() if value is not None},
        }
    )


def step_record(run_id: RunId, step_id: StepId, attempt: int) -> bytes:
    return msgspec.json.encode({"type": "step", "run_id": run_id, "step_id": step_id, "attempt": attempt})


def wake_record(run_id: RunId) -> bytes:
    return msgspec.json.encode({"type": "wake", "run_id": run_id})


def cancel_record(run_id: RunId, *, by: str, reason: str) -> bytes:
    return msgspec.json.encode({"type": "command", "command": "cancel", "run_id": run_id, "by": by, "reason": reason})


def command_record(command: str, run_id: RunId, *, by: str, reason: str) -> bytes:
    return encode({"type": "command", "command": command, "run_id": run_id, "by": by, "reason": reason})


def child_ended_record(parent: RunId, step_id: StepId, *, child: RunId) -> bytes:
    return encode({"type": "command", "command": "child_ended", "run_id": parent, "step_id": step_id, "child": child})


def _document(value: bytes | None, max_bytes: int) -> dict[str, Any]:
    if value is None:
        raise BadRecordError("the value is null, expected a JSON object", code="null_value")
    if len(value) > max_bytes:
        raise BadRecordError(
            f"the value has {len(value)} bytes, at most {max_bytes} are accepted (FAMULUS_MAX_RECORD_BYTES)",
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
        raise BadRecordError(f"the value is {_shown(document)}, expected a JSON object", code="not_an_object")
    return document


def _from_flowcraft(document: dict[str, Any]) -> Start:
    """Its worker sends one job a start node; the first one starts the run, here at all its start nodes."""
    start = _start({"run_id": document["runId"], "blueprint_id": document.get("blueprintId")})
    return replace(start, is_job_of_run=True)


def _start(document: dict[str, Any]) -> Start:
    given = document.get("input")
    if given is not None and not isinstance(given, dict):
        raise BadRecordError(f"`input` is {_shown(given)}, expected an object", code="wrong_type")
    version = document.get("version")
    if version is not None and not isinstance(version, str):
        raise BadRecordError(f"`version` is {_shown(version)}, expected a string", code="wrong_type")
    return Start(
        run_id=_run_id(document),
        blueprint_id=BlueprintId(_text(document, "blueprint_id")),
        version=version or None,
        input=given or {},
        parent=_parent(document.get("parent")),
    )


def _parent(given: Any) -> Parent | None:
    if given is None:
        return None
    try:
        return msgspec.convert(given, Parent)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"`parent` is {_shown(given)}: {error}", code="wrong_type") from error


def _command(document: dict[str, Any]) -> Cancel | ChildNotice:
    command = _text(document, "command")
    if command not in COMMANDS:
        raise BadRecordError(
            f"`command` is {command!r}, expected one of {', '.join(sorted(COMMANDS))}", code="unknown_command"
        )
    if command == "child_ended":
        return ChildNotice(
            run_id=_run_id(document),
            step_id=StepId(_text(document, "step_id")),
            child=RunId(_text(document, "child")),
        )
    return Cancel(
        run_id=_run_id(document),
        by=_text(document, "by", default="unknown"),
        reason=_text(document, "reason", default="cancelled on request"),
    )


def _run_id(document: dict[str, Any]) -> RunId:
    text = _text(document, "run_id")
    if not is_run_id(text):
        raise BadRecordError(f"`run_id` is {_shown(text)}, expected {RUN_ID_PATTERN.pattern}", code="bad_run_id")
    return RunId(text)


def _text(document: dict[str, Any], name: str, *, default: str | None = None) -> str:
    value = document.get(name)
    if value is None or value == "":
        if default is not None:
            return default
        raise BadRecordError(f"`{name}` is missing, expected a text that is not empty", code="missing_field")
    if not isinstance(value, str):
        raise BadRecordError(f"`{name}` is {_shown(value)}, expected a string", code="wrong_type")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  # a line of a terminal
