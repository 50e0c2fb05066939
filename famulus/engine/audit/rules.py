"""All rules about the rows of one run. They are pure: rows in, deviations out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.blueprint.graph import Graph
    from famulus.engine.audit.deviation import Deviation
    from famulus.flow.limits import RunLimits
    from famulus.ports import EventRow, RunRows


def deviations_of(
    graph: Graph,  # noqa: ARG001
    rows: RunRows,  # noqa: ARG001
    events: Sequence[EventRow],  # noqa: ARG001
    *,
    limits: RunLimits | None = None,  # noqa: ARG001
) -> list[Deviation]:
    """What is wrong with a run, from its visible rows and all its visible events."""
    return []
