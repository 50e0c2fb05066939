"""Going on without the rest of the tables' changelogs, when reading them has come to a standstill.

Nothing is delivered to any agent before the tables are read up to the ends that the broker has told. The embedded
broker may tell an end beyond the last record, and what would be written next is written by workers, all of which wait.
Tables are read models from which nothing is decided, so none of that is worth a standstill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import faust


def end_recovery(app: faust.App) -> None:
    """Take the tables for read; the recovery notices within seconds. It changes nothing where none is under way."""
    tables: Any = app.tables
    recovery = tables.recovery
    for place, end in recovery.active_highwaters.items():
        offset = recovery.active_offsets[place]
        recovery.active_offsets[place] = end if offset is None else max(offset, end)
