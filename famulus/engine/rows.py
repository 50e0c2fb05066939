"""Between what the heart knows (values) and what is stored (rows of bytes)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

import msgspec

from famulus.blueprint.values import ABSENT
from famulus.errors import OutputError
from famulus.flow.batches import BatchSpec
from famulus.flow.facts import ErrorInfo
from famulus.flow.rebuild import ContextWrite
from famulus.flow.state import Ending, StepState
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.suspicion import Suspicion
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, ForWebhook, WaitingFor
from famulus.ids import Stamp
from famulus.ports import ContextRow, RunHead, StepRow

VALUE_DEPTH_MAX: Final = 200
"""Levels of a value. How many can be read depends on the stack of the reader: far fewer can always be read."""
NAME_BYTES_MAX: Final = 4096
_SCALARS: Final = (str, int, float, bool, type(None))
_SURE_BITS: Final = 64


class StepExtra(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What only some steps have. A later version may add fields; those that are unknown here are left out."""

    blocked: bool = False
    item: int | None = None
    batch: BatchSpec | None = None
    first_started_at: float | None = None
    waiting_for: str | None = None
    """The name of the class in `famulus.flow.waiting`."""
    details: dict[str, Any] = {}
    """Its fields."""
    wake_at: float | None = None
    since: int | None = None
    suspicion: Suspicion | None = None


_NOTHING: Final = (None,) * 6
NO_EXTRA: Final = StepExtra()
_WAITING_FOR: Final[Mapping[str, type[WaitingFor]]] = {
    kind.__name__: kind for kind in (ForTimer, ForSignal, ForWebhook, ForChild)
}


def encode(value: Any) -> bytes:
    """JSON of a value. Raises `OutputError` saying what cannot be written."""
    try:
        return msgspec.json.encode(value)
    except RecursionError as error:
        raise OutputError("the value is nested too deeply to be stored, or contains itself") from error
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise OutputError(f"the value cannot be stored as JSON: {error}") from error


def decode(data: bytes) -> Any:
    return msgspec.json.decode(data)


def settled(value: Any, *, max_bytes: int) -> Any:
    """The value as it will be read back: plain JSON data of its own, sharing nothing with the node that made it.

    Raises `OutputError` if it cannot be stored or is larger than the limit.
    """
    if value is None or type(value) is bool or (type(value) is int and value.bit_length() < _SURE_BITS):
        return value
    data = encode(value)
    if len(data) > max_bytes:
        raise OutputError(
            f"the value has {len(data)} bytes, at most {max_bytes} can be stored (FAMULUS_MAX_VALUE_BYTES)"
        )
    if type(value) is str:
        return value
    try:
        plain = decode(data)
    except (RecursionError, msgspec.MsgspecError) as error:
        raise OutputError(f"the value could not be read back from JSON: {error}") from error
    if nests_too_deep(plain, data):
        raise OutputError(f"the value is nested too deeply, at most {VALUE_DEPTH_MAX} levels can be stored")
    return plain


def settled_text(text: Any, what: str) -> str:
    """A name that a node has chosen, if it can be stored. Raises `OutputError`."""
    if not isinstance(text, str) or not text:
        raise OutputError(f"the {what} is {text!r:.100}, expected a text that is not empty")
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise OutputError(f"the {what} {text!r:.100} cannot be stored: {error}") from error
    if length > NAME_BYTES_MAX:
        raise OutputError(f"the {what} {text!r:.100} has {length} bytes, at most {NAME_BYTES_MAX} can be stored")
    return str(text)


def nests_too_deep(value: Any, data: bytes) -> bool:
    """Whether a value, of which the JSON is given too, has more levels than can be stored."""
    if data.count(b"[") + data.count(b"{") <= VALUE_DEPTH_MAX:
        return False
    level = [value]
    for _ in range(VALUE_DEPTH_MAX):
        parts = (part for outer in level for part in (outer.values() if isinstance(outer, dict) else outer))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def isolated(value: Any) -> Any:
    """A copy that its receiver may change without changing the state of the run."""
    return value if isinstance(value, _SCALARS) else decode(encode(value))


def input_digest(initial: Mapping[str, Any]) -> str:
    """Tells whether two starts have the same input, whatever the order of keys."""
    return hashlib.sha256(msgspec.json.encode(initial, order="sorted")).hexdigest()


def step_row(step: StepState, stamp: Stamp) -> StepRow:
    return StepRow(
        step_id=step.step_id,
        node_id=step.node_id,
        status=step.status.value,
        attempt=step.attempt,
        seq=step.seq,
        output=None if step.output is ABSENT else encode(step.output),
        action=step.action,
        fired=step.fired,
        reason=step.reason,
        error=None if step.error is None else msgspec.json.encode(step.error),
        worker=step.worker,
        started_at=step.started_at,
        ended_at=step.ended_at,
        extra=extra_of(step),
        stamp=stamp,
    )


def step_state(row: StepRow) -> StepState:
    status = StepStatus(row.status)
    extra = NO_EXTRA if row.extra is None else msgspec.json.decode(row.extra, type=StepExtra)
    return StepState(
        step_id=row.step_id,
        node_id=row.node_id,
        status=status,
        attempt=row.attempt,
        seq=row.seq,
        output=ABSENT if row.output is None else decode(row.output),
        action=row.action,
        fired=tuple(row.fired),
        reason=row.reason,
        error=None if row.error is None else msgspec.json.decode(row.error, type=ErrorInfo),
        worker=row.worker,
        started_at=row.started_at,
        ended_at=row.ended_at,
        blocked=extra.blocked,
        first_started_at=extra.first_started_at,
        item=extra.item,
        batch=extra.batch,
        waiting_for=None if extra.waiting_for is None else _WAITING_FOR[extra.waiting_for](**_known(extra)),
        wake_at=extra.wake_at,
        since=extra.since,
        suspicion=extra.suspicion,
    )


def extra_of(step: StepState) -> bytes | None:
    """What only some steps have, as JSON; ``None`` where it is nothing, so that ordinary steps cost nothing."""
    waiting_for = step.waiting_for
    only_some_have = (waiting_for, step.first_started_at, step.item, step.batch, step.wake_at, step.suspicion)
    if only_some_have == _NOTHING and not step.blocked:
        return None  # said at once, for this holds of nearly every step
    extra = StepExtra(
        blocked=step.blocked,
        item=step.item,
        batch=step.batch,
        first_started_at=step.first_started_at,
        waiting_for=None if waiting_for is None else type(waiting_for).__name__,
        details={} if waiting_for is None else asdict(waiting_for),
        wake_at=step.wake_at,
        since=step.since,
        suspicion=step.suspicion,
    )
    return None if extra == NO_EXTRA else msgspec.json.encode(extra)


def ending_row(ending: Ending | None) -> bytes | None:
    return None if ending is None else msgspec.json.encode({"status": ending.status.value, "reason": ending.reason})


def ending_of(head: RunHead) -> Ending | None:
    if head.ending is None:
        return None
    told = decode(head.ending)
    return Ending(RunStatus(told["status"]), told["reason"])


def context_row(key: str, value: Any, seq: int, stamp: Stamp) -> ContextRow:
    return ContextRow(key=key, value=None if value is ABSENT else encode(value), seq=seq, stamp=stamp)


def context_write(row: ContextRow) -> ContextWrite:
    return ContextWrite(key=row.key, value=ABSENT if row.value is None else decode(row.value), seq=row.seq)


def _known(extra: StepExtra) -> dict[str, Any]:
    names = {field.name for field in fields(_WAITING_FOR[extra.waiting_for or ""])}
    return {name: value for name, value in extra.details.items() if name in names}
