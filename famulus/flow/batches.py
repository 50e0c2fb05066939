"""Batches: many items, each a step of its own, of one `batch-scatter` or `map` step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from famulus.ids import BlueprintId, NodeId


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
