"""What the engine needs from the world. Each adapter keeps these contracts; `tests/contract` asks all of them.

Rules for every method that writes:

* It is safe to repeat: the second identical call changes nothing.
* When it returns, the write is durable. When it raises `RetryableError`, the write may or may not have happened.
* Rows of a run carry a stamp (`famulus.ids.Stamp`). A write never replaces a row with a higher stamp. An owner uses a
  stamp for one commit only, so a row with an equal stamp is the same row.

Values travel as bytes of JSON: what they mean is not an adapter's business.
"""

from __future__ import annotations

from famulus.ports.blobs import BlobStore
from famulus.ports.blueprints import BlueprintStore, StoredBlueprint
from famulus.ports.bus import Bus, Record
from famulus.ports.clock import Clock
from famulus.ports.dead_letters import (
    FORWARDED,
    LETTER_CODE,
    LETTER_CUT,
    LETTER_REASON,
    LETTER_SOURCE,
    LETTER_TIME,
    OPEN,
    REDRIVEN,
    DeadLetter,
    DeadLetterStore,
    LetterMark,
    LetterPlace,
    LetterSummary,
    ListedLetter,
    StoredLetter,
)
from famulus.ports.epochs import Epochs
from famulus.ports.hooks import Hook, HookStore
from famulus.ports.joins import JoinKey, Joins
from famulus.ports.limits import Limits
from famulus.ports.progress import Progress, ProgressBoard
from famulus.ports.rows import Commit, ContextRow, EventRow, RunBirth, RunHead, RunRows, StepRow, TimerRow
from famulus.ports.runs import RunStore
from famulus.ports.schedules import ScheduleProgress, ScheduleStore, StoredSchedule
from famulus.ports.timers import TimerStore
from famulus.ports.tokens import StoredSession, StoredToken, TokenStore

__all__ = [
    "FORWARDED",
    "LETTER_CODE",
    "LETTER_CUT",
    "LETTER_REASON",
    "LETTER_SOURCE",
    "LETTER_TIME",
    "OPEN",
    "REDRIVEN",
    "BlobStore",
    "BlueprintStore",
    "Bus",
    "Clock",
    "Commit",
    "ContextRow",
    "DeadLetter",
    "DeadLetterStore",
    "Epochs",
    "EventRow",
    "Hook",
    "HookStore",
    "JoinKey",
    "Joins",
    "LetterMark",
    "LetterPlace",
    "LetterSummary",
    "Limits",
    "ListedLetter",
    "Progress",
    "ProgressBoard",
    "Record",
    "RunBirth",
    "RunHead",
    "RunRows",
    "RunStore",
    "ScheduleProgress",
    "ScheduleStore",
    "StepRow",
    "StoredBlueprint",
    "StoredLetter",
    "StoredSchedule",
    "StoredSession",
    "StoredToken",
    "TimerRow",
    "TimerStore",
    "TokenStore",
]
