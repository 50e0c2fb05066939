"""The embedded store: one SQLite file, which several processes may share."""

from __future__ import annotations

from famulus.adapters.sqlite.blobs import SqliteBlobStore
from famulus.adapters.sqlite.blueprints import SqliteBlueprintStore
from famulus.adapters.sqlite.database import SqliteDatabase
from famulus.adapters.sqlite.dead_letters import SqliteDeadLetterStore
from famulus.adapters.sqlite.epochs import SqliteEpochs
from famulus.adapters.sqlite.hooks import SqliteHookStore
from famulus.adapters.sqlite.runs import SqliteRunStore
from famulus.adapters.sqlite.schedules import SqliteScheduleStore
from famulus.adapters.sqlite.timers import SqliteTimerStore
from famulus.adapters.sqlite.tokens import SqliteTokenStore

__all__ = [
    "SqliteBlobStore",
    "SqliteBlueprintStore",
    "SqliteDatabase",
    "SqliteDeadLetterStore",
    "SqliteEpochs",
    "SqliteHookStore",
    "SqliteRunStore",
    "SqliteScheduleStore",
    "SqliteTimerStore",
    "SqliteTokenStore",
]
