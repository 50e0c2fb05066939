"""Identities. Each has its own type, so that a swapped argument fails the type checker, not a join."""

from __future__ import annotations

import re
from typing import Final, NewType

RunId = NewType("RunId", str)
BlueprintId = NewType("BlueprintId", str)
Digest = NewType("Digest", str)
"""The content digest of a blueprint: 64 hexadecimal digits (SHA-256 of its canonical JSON)."""
NodeId = NewType("NodeId", str)
StepId = NewType("StepId", str)
"""A node in a scope of a run: ``review``, ``review[2]``, ``outer[1].inner[3]``; at the top level the node id."""
ScheduleId = NewType("ScheduleId", str)
Epoch = NewType("Epoch", int)
"""One assignment of partitions to one worker. Later assignments have higher epochs, over all workers."""
Stamp = NewType("Stamp", int)
"""``epoch * 2**40 + counter``: orders every write of a run, also those of workers that no longer own it."""

STAMP_COUNTER_BITS: Final = 40
UNSTAMPED: Final = Stamp(0)
RUN_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_run_id(text: str) -> bool:
    """Say whether the text can be a run id: 1 to 128 of ``A-Z a-z 0-9 . _ : -``, safe in keys, paths and logs."""
    return RUN_ID_PATTERN.fullmatch(text) is not None


def stamp_of(epoch: Epoch, counter: int) -> Stamp:
    return Stamp((epoch << STAMP_COUNTER_BITS) + counter)


def epoch_of(stamp: Stamp) -> Epoch:
    return Epoch(stamp >> STAMP_COUNTER_BITS)
