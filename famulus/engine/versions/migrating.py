"""Going over to another version of the blueprint, for a run in flight.

The pinned version stands in the birth of the run, which the owner writes once more. The outcomes stay as they are; the
run notes how the edges that fired are numbered now (`famulus.engine.versions.edges`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.engine.obeying import noted as noted_command
from famulus.engine.versions.compare import compare
from famulus.engine.versions.edges import MIGRATIONS_KEY, migrations_of, moved, noted
from famulus.flow import decisions as d
from famulus.flow.fold import fold

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.engine.commands import Migrate
    from famulus.flow.state import RunState
    from famulus.ports import RunRows

SHOWN = 3


def why_not_migrated(old: Graph, new: Graph, rows: RunRows) -> str | None:
    """What is against it; ``None`` if nothing is."""
    if old.digest == new.digest:
        return f"the run has version {new.blueprint.version!r} already"
    if rows.head.ending is not None:
        return "the run is being compensated, it ends after that"
    found = compare(old, new, rows)
    if not found:
        return None
    told = "; ".join(f"{each.step_id or 'the run'}: {each.message}" for each in found[:SHOWN])
    more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    return f"it would not go on as it has come by version {new.blueprint.version!r}: {told}{more}"


def moved_rows(old: Graph, new: Graph, rows: RunRows) -> RunRows:
    """The rows of the run as the new version has them."""
    birth = replace(rows.birth, version=new.blueprint.version, digest=new.digest)
    return replace(moved(rows, old.blueprint, new.blueprint), birth=birth)


def migrated(run: RunState, command: Migrate, old: Graph, rows: RunRows, *, at: float) -> list[d.Decision]:
    """What is recorded of it, carried into the state already."""
    new = run.graph
    told = {"by": command.by, "from_version": old.blueprint.version, "to_version": new.blueprint.version}
    event = d.RecordEvent("run.migrated", told, at, run.next_seq)
    fold(run, event)
    kept = noted(migrations_of(rows.context), old.blueprint, new.blueprint, source=old.digest, seq=event.seq)
    note = d.WriteContext(MIGRATIONS_KEY, kept, run.next_seq)
    fold(run, note)
    return noted_command(run, [event, note], command.command_id or "")
