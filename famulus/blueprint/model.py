"""What a workflow is: nodes that name an implementation, and edges between them.

Plain values, made by the codec from JSON or by hand in tests. Everything that can be said about a node stands
here; what it means stands in `famulus.flow`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.ids import BlueprintId, NodeId

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class JoinPolicy(StrEnum):
    """When a node with several predecessors starts."""

    ALL = "all"
    """Every predecessor has completed or is settled, and at least one edge fired."""
    ANY = "any"
    """The first edge fires; once per run."""
    ALL_SETTLED = "all_settled"
    """Every predecessor has come, however it came: a failed one counts like one that fired."""
    N_OF_M = "n_of_m"
    """Edges of so many predecessors (`NodeConfig.join_count`) have fired; once per run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    max_attempts: int = 1
    """Attempts in all, the first included (`maxRetries` in the JSON, where 0 means 1)."""
    retry_delay_ms: int = 0
    """Before the second attempt; before later ones `retry_backoff` times as long each."""
    retry_backoff: float = 1.0
    retry_delay_max_ms: int | None = None
    """No delay is longer, however often the backoff has been applied."""
    retry_jitter: float = 0.0
    """Share of a delay, 0 to 1, that is taken off at most, differently for each step and attempt."""
    retry_on: tuple[str, ...] = ()
    """Names of error classes, their base classes included; where given, no other error is retried."""
    never_retry_on: tuple[str, ...] = ()
    """Names of error classes that are never retried; they go before `retry_on`."""
    timeout_ms: int | None = None
    """Limit of one attempt."""
    total_timeout_ms: int | None = None
    """Limit of the step with all its attempts and the delays between them, from the start of the first."""
    heartbeat_ms: int | None = None
    """An attempt that has not beaten (`ctx.heartbeat()`) for so long has failed."""
    fallback: NodeId | None = None
    compensate: NodeId | None = None
    """The node that undoes this one when the run fails or is cancelled after this one has completed."""
    join: JoinPolicy = JoinPolicy.ALL
    join_count: int | None = None
    """How many must have fired, for `JoinPolicy.N_OF_M`; otherwise ``None``."""
    join_deadline_ms: int | None = None
    """So long after the first edge has fired, the node goes on with what is there."""
    cancel_losers: bool = False
    """Cancel predecessors that still run, and what leads only here, when the node starts without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    id: NodeId
    uses: str
    """The name of a registered implementation."""
    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    inputs: str | Mapping[str, Any] | None = None
    """Where the input comes from; ``None``: what the edges deliver. In a map, anything but a string fails the step."""
    config: NodeConfig = field(default_factory=NodeConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    source: NodeId
    target: NodeId
    action: str | None = None
    condition: str | None = None
    transform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    id: BlueprintId
    version: str
    """As given in the metadata, else the first 12 digits of the content digest."""
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Kept as it came. Read: ``version``, ``cycleEntryPoints``, ``expressionLanguage`` (``path`` or ``cel``)."""
