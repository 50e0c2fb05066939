"""What is wrong with a worker, from what was seen of it lately, and what is to be done. Pure: a sight has its time.

The rules of this file:

* A trouble counts when it has lasted: everything stands still for a moment in every rebalance.
* While the broker does not answer there is nothing to be judged, and nothing to be done here: clients come back by
  themselves, and a restart would not help. The time of troubles begins anew when it answers.
* First the consumer is restarted. What troubles the worker after that as long again is a matter for the supervisor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""

BROKER_SILENT: Final = "broker_silent"
NO_ASSIGNMENT: Final = "no_assignment"
TOPIC_MISSING: Final = "topic_missing"
FETCH_STALLED: Final = "fetch_stalled"
COMMIT_STALLED: Final = "commit_stalled"
COORDINATION_DEAD: Final = "coordination_dead"
RECOVERY_STALLED: Final = "recovery_stalled"
RECOVERY_SECONDS: Final = 8.0
"""How long reading tables may stand still; that is not worth the patience that the rest has."""


class Action(Enum):
    NOTHING = "nothing"
    END_RECOVERY = "end_recovery"
    """Go on without the rest of the tables."""
    RESTART_CONSUMER = "restart_consumer"
    GIVE_UP = "give_up"
    """End, for the supervisor to start the worker anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A worker as it was seen at a time."""

    at: float
    """Seconds of a monotonic clock."""
    broker_answers: bool = True
    missing: tuple[str, ...] = ()
    """Topics that this worker needs and the broker does not have."""
    is_settled: bool = True
    """Whether it is known which partitions are this worker's."""
    lacks_partitions: bool = False
    """It has none, though there are not too many workers for that."""
    positions: Mapping[Place, int | None] = field(default_factory=dict)
    """Of each assigned partition: the offset that is fetched next."""
    waiting: frozenset[Place] = frozenset()
    """Of these, partitions in which there is a record to be fetched."""
    recovered: object = None
    """How far the tables are read anew, while they are: before that nothing else is fetched."""
    is_full: bool = False
    """This worker takes no more records for now, so none are fetched."""
    committable: Mapping[Place, int] = field(default_factory=dict)
    """Of partitions with finished records that are not committed: the offset up to which they are finished."""
    committed: Mapping[Place, int | None] = field(default_factory=dict)
    coordination_is_dead: bool = False
    """Nothing of the client takes part in the group any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    kind: str
    about: object
    """The topic or partition, if it is about one."""
    detail: str
    since: float
    """By the clock of what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    troubles: tuple[Trouble, ...] = ()
    """Those that have lasted too long."""
    action: Action = Action.NOTHING


@dataclass(slots=True)
class _Lasting:
    since: float
    state: object
    """What would be another one if there was progress."""


class Judge:
    def __init__(self, *, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._lasting: dict[tuple[str, object], _Lasting] = {}
        self._restarted_at: float | None = None
        self._is_restarted = False
        """Nothing has been well since the consumer was restarted."""

    def judge(self, sight: Sight) -> Verdict:
        """To be given one sight after the other."""
        if not sight.broker_answers:
            self._forget_all_but_the_broker()
            silence = self._lasts((BROKER_SILENT, None), None, sight.at)
            return Verdict(troubles=(_silent(silence.since),))
        seen = self._seen(sight)
        for key in [key for key in self._lasting if key not in seen]:
            del self._lasting[key]
        lasting = [
            (key, lasts.since, detail)
            for key, (state, detail) in seen.items()
            if (lasts := self._lasts(key, state, sight.at)) and sight.at - lasts.since >= self._patience_with(key[0])
        ]
        troubles = tuple(
            Trouble(kind=kind, about=about, detail=detail, since=since) for (kind, about), since, detail in lasting
        )
        if not seen:
            self._is_restarted = False
        if not troubles:
            return Verdict()
        return Verdict(troubles=troubles, action=self._action(troubles, sight.at))

    def restarted(self, at: float) -> None:
        """The consumer was restarted, or that was tried: what is wrong still gets as long again to come right."""
        self._restarted_at, self._is_restarted = at, True

    def _patience_with(self, kind: str) -> float:
        return min(self._patience, RECOVERY_SECONDS) if kind == RECOVERY_STALLED else self._patience

    def _action(self, troubles: tuple[Trouble, ...], now: float) -> Action:
        if any(trouble.kind == RECOVERY_STALLED and now - trouble.since < self._patience for trouble in troubles):
            return Action.END_RECOVERY
        if not self._is_restarted:
            return Action.RESTART_CONSUMER
        is_due = self._restarted_at is not None and now - self._restarted_at >= self._patience
        return Action.GIVE_UP if is_due else Action.NOTHING

    def _lasts(self, key: tuple[str, object], state: object, now: float) -> _Lasting:
        known = self._lasting.get(key)
        if known is None or known.state != state:
            known = self._lasting[key] = _Lasting(now, state)
        return known

    def _forget_all_but_the_broker(self) -> None:
        self._lasting = {key: lasts for key, lasts in self._lasting.items() if key[0] == BROKER_SILENT}
        if self._is_restarted:
            self._restarted_at = None
        self._is_restarted = False

    def _seen(self, sight: Sight) -> dict[tuple[str, object], tuple[object, str]]:
        """What does not look well: kind and place -> what would differ after progress, and how to say it."""
        seen: dict[tuple[str, object], tuple[object, str]] = {}
        for topic in sight.missing:
            seen[TOPIC_MISSING, topic] = (None, f"the topic {topic!r} does not exist any more")
        if sight.coordination_is_dead:
            seen[COORDINATION_DEAD, None] = (None, "the client takes no part in its consumer group any more")
        if not sight.is_settled:
            seen[NO_ASSIGNMENT, None] = (None, "partitions were taken away, and none given since")
        elif sight.lacks_partitions:
            seen[NO_ASSIGNMENT, None] = (None, "no partition of the jobs topic is assigned, and there is one to have")
        if sight.recovered is not None:
            seen[RECOVERY_STALLED, None] = (sight.recovered, "the tables are being read, and that does not go on")
        for place, position in sight.positions.items() if sight.recovered is None else ():
            if place in sight.waiting and not sight.is_full:
                told = f"{_name(place)} is fetched at {position}, and does not move, but there is a record to be had"
                seen[FETCH_STALLED, place] = (position, told)
        for place, offset in sight.committable.items():
            committed = sight.committed.get(place)
            told = f"{_name(place)} is finished up to {offset}, and committed up to {committed}"
            seen[COMMIT_STALLED, place] = (committed, told)
        return seen


def _silent(since: float) -> Trouble:
    return Trouble(kind=BROKER_SILENT, about=None, detail="no broker answers", since=since)


def _name(place: Place) -> str:
    return f"{place[0]}/{place[1]}"
