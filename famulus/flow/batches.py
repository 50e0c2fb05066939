"""Batches: many items, each a step of its own, of one `batch-scatter` or `map` step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from famulus.ids import BlueprintId, NodeId, StepId

if TYPE_CHECKING:
    from famulus.flow.state import RunState, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """How the items of a batch are run. It is recorded with the step that has them."""

    count: int
    uses: str
    """The implementation of every item; `subflow` where each item is a child run."""
    params: Mapping[str, Any]
    """Of every item."""
    blueprint_id: BlueprintId | None = None
    max_concurrency: int | None = None
    """Items that run at the same time; ``None``: no limit but those of the worker."""
    chunk: int | None = None
    """Items run in chunks of so many: the next one starts when all of one have ended."""
    tolerated_failures: int | str = 0
    """How many items may fail: a number, or a share such as ``10%``."""
    gather: NodeId | None = None
    """The `batch-gather` that waits for the items; ``None`` for a `map`, which gives the results itself."""
    keep_going: bool = False
    """Once too many have failed, let the others run all the same (`batch-scatter`), rather than start no more."""
    spread: bool = False
    """Items run on whichever worker, not only on the owner of the run."""
    retried_seq: int = -1
    """Items that failed or were cancelled before this place in the order of the run are tried once more."""


@dataclass(slots=True, kw_only=True)
class BatchProgress:
    """Where a batch stands. Changed in place by `famulus.flow.fold`, so that each item costs the same."""

    step_id: StepId
    node_id: NodeId
    spec: BatchSpec
    outputs: dict[int, Any] = field(default_factory=dict)
    """Of completed items."""
    ended: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    completed_at: float | None = None
    """When the last item completed."""
    failed_at: float | None = None
    """When the last item ended otherwise."""
    next_index: int = 0
    """No item below it is still to be started."""
    is_given_up: bool = False
    """Its step was cancelled. What the items gave is kept, for a retry goes on from there."""

    @property
    def too_many_failed(self) -> bool:
        return len(self.failed) > tolerated(self.spec)

    @property
    def is_stopped(self) -> bool:
        """No further item is started."""
        return self.is_given_up or (self.too_many_failed and not self.spec.keep_going)

    @property
    def is_cut_short(self) -> bool:
        """Its items were cancelled before all of them had been tried, and not for the failures of some."""
        return not (self.live or self.is_stopped) and len(self.outputs) + len(self.failed) < self.spec.count

    @property
    def is_over(self) -> bool:
        return not self.live and (self.is_stopped or len(self.ended) >= self.spec.count)

    @property
    def ended_at(self) -> float | None:
        """When the last of those that have ended did."""
        return max((at for at in (self.completed_at, self.failed_at) if at is not None), default=None)

    def take(self, spec: BatchSpec) -> None:
        """Go on under another specification. One that tries failed items again makes them startable."""
        if spec.retried_seq > self.spec.retried_seq:
            self.ended.intersection_update(self.outputs)
            self.failed.clear()
            self.failed_at = None
            self.next_index = 0
        self.spec = spec

    def results(self) -> list[Any]:
        """The outputs in item order, null for an item that failed."""
        return [self.outputs.get(index) for index in range(self.spec.count)]

    def startable(self, at_once: int) -> Iterator[int]:
        """The items that may start now, lowest first. The caller starts each before it asks for the next."""
        while not self.is_stopped and self.next_index < self.spec.count:
            if len(self.live) >= (self.spec.max_concurrency or at_once):
                return
            if self.spec.chunk is not None:
                finished_chunks = len(self.ended) // self.spec.chunk
                if self.next_index >= (finished_chunks + 1) * self.spec.chunk:
                    return
            index = self.next_index
            self.next_index += 1
            if index not in self.live and index not in self.ended:
                yield index


def tolerated(spec: BatchSpec) -> int:
    """How many items of the batch may fail."""
    given = spec.tolerated_failures
    if isinstance(given, str):
        return int(spec.count * float(given.removesuffix("%")) / 100)
    return given


def batch_id_of(item: StepState) -> StepId:
    """The step that an item belongs to."""
    return StepId(item.step_id.rpartition("[")[0])


def is_spread(run: RunState, step: StepState) -> bool:
    """Whether the step is an item that runs on whichever worker."""
    batch = None if step.item is None else run.batches.get(batch_id_of(step))
    return batch is not None and batch.spec.spread


def item_step_id(step_id: StepId, index: int) -> StepId:
    return StepId(f"{step_id}[{index}]")


def items_key(step_id: StepId) -> str:
    """The context key that holds the items of a batch."""
    return f"_batch.{step_id}"
