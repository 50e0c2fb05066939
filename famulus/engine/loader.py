"""A run from its rows, as its owner or as somebody who only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.engine.rows import context_write, decode, ending_of, step_state
from famulus.flow.rebuild import rebuild
from famulus.flow.status import RunStatus

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.flow.limits import RunLimits
    from famulus.flow.state import RunState
    from famulus.ports import RunRows


def state_of(graph: Graph, rows: RunRows, *, limits: RunLimits | None = None) -> RunState:
    """The state that the rows tell; give only visible ones (`famulus.engine.seals`)."""
    return rebuild(
        graph,
        run_id=rows.birth.run_id,
        status=RunStatus(rows.head.status),
        reason=rows.head.reason,
        ended_at=rows.head.ended_at,
        initial=decode(rows.birth.input),
        steps=[step_state(row) for row in rows.steps],
        writes=[context_write(row) for row in rows.context],
        next_seq=rows.head.next_seq,
        created_at=rows.birth.created_at,
        ending=ending_of(rows.head),
        limits=limits,
    )
