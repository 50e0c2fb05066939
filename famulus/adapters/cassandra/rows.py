"""Between the rows of `famulus.ports` and the values of ``cql/runs.cql``, in the order of the columns there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.adapters.cassandra.database import Write
from famulus.flow.status import RUN_ENDED
from famulus.ids import BlueprintId, Digest, NodeId, RunId, Stamp, StepId, epoch_of
from famulus.ports import Commit, ContextRow, EventRow, RunBirth, RunHead, StepRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.driver import Row

# -- to Cassandra ----------------------------------------------------------------------------------------------------


def head_write(namespace: str, commit: Commit, *, rows_written: int) -> Write:
    """Return the write of the run row: the birth too in a first commit."""
    birth, head, stamp = commit.birth, commit.head, commit.stamp
    values = [
        head.status,
        head.reason,
        head.updated_at,
        head.ended_at,
        head.seals,
        head.next_seq,
        head.ending,
        stamp if commit.closes else -stamp,
        rows_written,
        stamp,
        stamp,
    ]
    if not commit.first:
        return Write("insert_head", [namespace, birth.run_id, *values])
    born = [
        birth.blueprint_id,
        birth.version,
        birth.digest,
        birth.input,
        birth.input_digest,
        birth.partition,
        birth.created_at,
        birth.parent,
    ]
    return Write("insert_first_head", [namespace, birth.run_id, *born, *values])


def step_write(namespace: str, run_id: RunId, step: StepRow, stamp: Stamp) -> Write:
    values = (
        namespace,
        run_id,
        step.step_id,
        epoch_of(stamp),
        step.node_id,
        step.status,
        step.attempt,
        step.seq,
        step.fired,
        (step.output, step.error, step.action, step.reason, step.worker, step.started_at, step.ended_at, step.extra),
        stamp,
        stamp,
    )
    return Write("insert_step", values, size=len(step.output or b"") + len(step.error or b"") + len(step.extra or b""))


def context_write(namespace: str, run_id: RunId, row: ContextRow, stamp: Stamp) -> Write:
    value = row.value or b""
    values = (namespace, run_id, row.key, epoch_of(stamp), value, row.value is None, row.seq, stamp, stamp)
    return Write("insert_context", values, size=len(value))


def event_write(namespace: str, run_id: RunId, event: EventRow, stamp: Stamp) -> Write:
    values = (namespace, run_id, event.seq, epoch_of(stamp), event.type, event.at, event.data, stamp, stamp)
    return Write("insert_event", values, size=len(event.data))


# -- from Cassandra --------------------------------------------------------------------------------------------------


def read_run(run_id: RunId, row: Row) -> tuple[RunBirth, RunHead, int]:
    """Return birth, head and the number of rows that the head's commit wrote, from a row of ``select_run``."""
    blueprint_id, version, digest, given, input_digest, partition, created_at, parent, *head, rows_written = row
    birth = RunBirth(
        run_id=run_id,
        blueprint_id=BlueprintId(blueprint_id),
        version=version,
        digest=Digest(digest),
        input=given,
        input_digest=input_digest,
        partition=partition,
        created_at=created_at,
        parent=parent,
    )
    return birth, _read_head(head), rows_written


def read_head(run_id: RunId, row: Row) -> tuple[RunBirth, RunHead]:
    """Return birth and head from a row of ``select_head``; the input is left empty."""
    blueprint_id, version, digest, *rest = row
    birth, head, _ = read_run(run_id, (blueprint_id, version, digest, b"", *rest, 0))
    return birth, head


def _read_head(values: Sequence[Any]) -> RunHead:
    status, reason, updated_at, ended_at, seals, next_seq, ending, stamp = values
    return RunHead(
        status=status,
        reason=reason,
        updated_at=updated_at,
        ended_at=ended_at,
        seals=dict(seals),
        next_seq=next_seq,
        ending=ending,
        stamp=Stamp(stamp),
    )


def read_openness(row: Row) -> tuple[bool, Stamp]:
    """Return whether the run is open, and the stamp of its last commit, from a row of ``select_openness``."""
    status, openness, stamp = row
    is_open = openness == -stamp if openness is not None and abs(openness) == stamp else status not in RUN_ENDED
    return is_open, Stamp(stamp)


def read_step(row: Row) -> StepRow:
    step_id, node_id, status, attempt, seq, fired, result, stamp = row
    # A newer schema may have more to say, and a row that an earlier version wrote has less.
    values: list[Any] = [*result, None]
    output, error, action, reason, worker, started_at, ended_at, extra, *_ = values
    return StepRow(
        step_id=StepId(step_id),
        node_id=NodeId(node_id),
        status=status,
        attempt=attempt,
        seq=seq,
        output=output,
        action=action,
        fired=tuple(fired),
        reason=reason,
        error=error,
        worker=worker,
        started_at=started_at,
        ended_at=ended_at,
        extra=extra,
        stamp=Stamp(stamp),
    )


def read_context(row: Row) -> ContextRow:
    key, value, deleted, seq, stamp = row
    return ContextRow(key=key, value=None if deleted else value, seq=seq, stamp=Stamp(stamp))


def read_event(row: Row) -> EventRow:
    seq, type_, at, data, stamp = row
    return EventRow(seq=seq, type=type_, at=at, data=data, stamp=Stamp(stamp))
