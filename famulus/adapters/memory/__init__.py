"""Everything the engine needs from the world, in this process: for tests, the harness and runs without a server."""

from __future__ import annotations

from famulus.adapters.memory.blobs import MemoryBlobStore
from famulus.adapters.memory.blueprints import MemoryBlueprintStore
from famulus.adapters.memory.bus import DeadLetter, MemoryBus
from famulus.adapters.memory.dead_letters import MemoryDeadLetterStore
from famulus.adapters.memory.epochs import MemoryEpochs
from famulus.adapters.memory.hooks import MemoryHookStore
from famulus.adapters.memory.joins import MemoryJoins
from famulus.adapters.memory.limits import MemoryLimits
from famulus.adapters.memory.progress import MemoryProgressBoard
from famulus.adapters.memory.runs import MemoryRunStore
from famulus.adapters.memory.schedules import MemoryScheduleStore
from famulus.adapters.memory.timers import MemoryTimerStore
from famulus.adapters.memory.tokens import MemoryTokenStore

__all__ = [
    "DeadLetter",
    "MemoryBlobStore",
    "MemoryBlueprintStore",
    "MemoryBus",
    "MemoryDeadLetterStore",
    "MemoryEpochs",
    "MemoryHookStore",
    "MemoryJoins",
    "MemoryLimits",
    "MemoryProgressBoard",
    "MemoryRunStore",
    "MemoryScheduleStore",
    "MemoryTimerStore",
    "MemoryTokenStore",
]
