"""Which steps may have killed the process that ran them: counted in their rows, and only by owners that come after.

An owner that dies says nothing. So the next one, before it starts what it finds due, writes into each of these steps
that it was due under somebody who is gone. A step is held for a suspect when that has happened to it a few times. From
then on it runs only with a mark, which is written before it starts; so what is found due without one has not run. First
many of them run at a time, then each alone. One that runs alone and is found due with its mark has spent one of its
crash budget. (docs/decisions/0018)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

FREE_INHERITANCES: Final = 1
"""A step that was due under so many owners who are gone still runs as any other does."""
TOGETHER_INHERITANCES: Final = 2
"""One that was due under so many runs with others of its kind; beyond that, alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What is held against a step that is due."""

    inherited: int = 0
    """How often it was found due, and may have run, under an owner who is gone."""
    marked_by: int | None = None
    """The epoch of the owner in whose quarantine it runs."""
    crashes: int = 0
    """How often it was found due after it ran alone in quarantine."""
    releases: int = 0
    """How often it ran long enough in quarantine to be let out of it."""

    @property
    def is_suspect(self) -> bool:
        return self.inherited > FREE_INHERITANCES

    @property
    def is_alone(self) -> bool:
        return self.inherited > TOGETHER_INHERITANCES


NONE: Final = Suspicion()


def inherited(suspicion: Suspicion | None) -> Suspicion:
    """What is held against a step that a new owner finds due."""
    known = suspicion or NONE
    if known.marked_by is None and known.is_suspect:
        return known  # it waited for its turn in quarantine, and has not run
    if known.marked_by is not None and known.is_alone:
        return replace(known, marked_by=None, crashes=known.crashes + 1)
    return replace(known, marked_by=None, inherited=known.inherited + 1)


def released(suspicion: Suspicion) -> Suspicion:
    """It has run so long in quarantine that it does not kill at once: others get their turn."""
    return Suspicion(releases=suspicion.releases + 1)


def unmarked(suspicion: Suspicion) -> Suspicion:
    """Its owner gives it up, and is alive to say so."""
    return replace(suspicion, marked_by=None)
