"""Between what the heart knows (values) and what is stored (rows of bytes)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from famulus.blueprint.values import ABSENT
from famulus.errors import OutputError
from famulus.flow.facts import ErrorInfo
from famulus.flow.rebuild import ContextWrite
from famulus.flow.state import StepState
from famulus.flow.status import StepStatus
from famulus.ids import Stamp
from famulus.ports import ContextRow, StepRow

_SCALARS = (str, int, float, bool, type(None))


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
    if value is None or isinstance(value, bool | int):
        return value
    data = encode(value)
    if len(data) > max_bytes:
        raise OutputError(
            f"the value has {len(data)} bytes, at most {max_bytes} can be stored (FAMULUS_MAX_VALUE_BYTES)"
        )
    return value if type(value) is str else decode(data)


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
        stamp=stamp,
    )


def step_state(row: StepRow) -> StepState:
    status = StepStatus(row.status)
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
    )


def context_row(key: str, value: Any, seq: int, stamp: Stamp) -> ContextRow:
    return ContextRow(key=key, value=None if value is ABSENT else encode(value), seq=seq, stamp=stamp)


def context_write(row: ContextRow) -> ContextWrite:
    return ContextWrite(key=row.key, value=ABSENT if row.value is None else decode(row.value), seq=row.seq)
