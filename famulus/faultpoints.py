"""Places at which a worker can be made to die, stop, stall or fail, to prove that nothing depends on where it does.

The eleven points lie along the life of a job, in this order. One writer owns a run, so there is no claim to write for
each step: the claim is the epoch that comes with the partitions, and the first batch with it.

    K0   a record was fetched; nothing of it is done           adapters/faust/intake.py
    K1   a step is due and about to start; its turn is next    engine/steps.py, engine/items.py
    K2   its code runs                                         engine/execution.py
    K3   its code has returned; nobody was told                engine/steps.py, engine/items.py
    K4   the batch was given to the store; no answer yet       engine/session.py
    K5   the batch is durable; nothing follows from it yet     engine/session.py
    K6   arrivals at joins are counted; no verdict yet         engine/session.py
    K7   one hint is on the topic, others or events are not    engine/announcements.py
    K8   all that follows is on the topics; nobody was told    engine/announcements.py
    K9   the offset may be committed; it is not acknowledged   adapters/faust/intake.py
    K10  the offsets are committed                             adapters/faust/transport.py

FAMULUS_FAULTPOINTS arms them: `point:action:hit[:prefix]`, several with commas. `K4:kill:3` kills the process when it
comes to K4 for the third time, `K4:kill:3:order-` when it does so for runs whose ids begin with `order-`.

The rule of this file: off costs nothing. `ON` is a constant from the import on, and a place asks for nothing else:

    if ON:
        reach(K5, run_id)
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final, NewType

from famulus.errors import RetryableError, SettingsError

log = logging.getLogger(__name__)

Point = NewType("Point", str)

VARIABLE: Final = "FAMULUS_FAULTPOINTS"
POINTS: Final = tuple(Point(f"K{number}") for number in range(11))
K0, K1, K2, K3, K4, K5, K6, K7, K8, K9, K10 = POINTS
EXIT_CODE: Final = 70
SEPARATOR: Final = ":"
PARTS_LEAST: Final = 2
PARTS_MOST: Final = 4
_NOT_RAISED: Final = (K9, K10)
"""Nobody stands there who could try again: what is raised would break the worker's own bookkeeping."""


class FaultPointError(RetryableError):
    """Raised by a point that is armed with `raise`: a server that fails for a moment, as the engine sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What one entry of the variable asks for."""

    point: Point
    action: str
    act: Callable[[], None]
    hit: int
    prefix: str
    """Of the ids of the runs that count."""
    hits: count[int] = field(default_factory=lambda: count(1))
    """One of its numbers for each time; taking one is atomic, and threads come to points too."""

    def strikes(self, run_id: str) -> bool:
        return run_id.startswith(self.prefix) and next(self.hits) == self.hit

    def strike(self, run_id: str) -> None:
        log.warning(
            "fault point %s: %s (run %s)",
            self.point,
            self.action,
            run_id or "unknown",
            extra={"action": "fault_point", "point": self.point, "run_id": run_id},
        )
        self.act()


def faults_of(text: str) -> Mapping[Point, Sequence[Fault]]:
    """The faults that the variable asks for, by point. Raises `SettingsError` for what it cannot mean."""
    faults: defaultdict[Point, list[Fault]] = defaultdict(list)
    for entry in filter(None, (part.strip() for part in text.split(","))):
        fault = _fault_of(entry)
        faults[fault.point].append(fault)
    return dict(faults)


def reach(point: Point, run_id: str = "") -> None:
    """Come to a point. Called only where `ON` holds."""
    for fault in _FAULTS.get(point, ()):
        if fault.strikes(run_id):
            fault.strike(run_id)


def reach_amid(point: Point, run_id: str = "") -> None:
    """Come to a point in the middle of what the caller is about to wait for: the loop's next turn is the middle.

    What is raised is raised at once, for the caller to see it.
    """
    for fault in _FAULTS.get(point, ()):
        if not fault.strikes(run_id):
            continue
        if fault.action == "raise":
            fault.strike(run_id)
        else:
            asyncio.get_running_loop().call_soon(fault.strike, run_id)


def check() -> None:
    """Raise `SettingsError` if the variable cannot be understood: a trial that injects nothing proves nothing."""
    faults_of(os.environ.get(VARIABLE, ""))


def warn_if_armed() -> None:
    if ON:
        log.warning(
            "FAULT POINTS ARE ARMED (%s=%s): this worker will fail on purpose. Unset it for anything but trials",
            VARIABLE,
            os.environ[VARIABLE],
            extra={"action": "fault_points_armed"},
        )


def _fault_of(entry: str) -> Fault:
    parts = entry.split(SEPARATOR, PARTS_MOST - 1)
    if len(parts) < PARTS_LEAST:
        raise _refused(entry, "expected point:action:hit[:prefix], for example K4:kill:3")
    point, action, hit, prefix = (*parts, *("1", "")[len(parts) - PARTS_LEAST :])
    if point not in POINTS:
        raise _refused(entry, f"there is no point {point!r}; points are {', '.join(POINTS)}")
    if not (hit.isascii() and hit.isdigit() and int(hit)):
        raise _refused(entry, f"{hit!r} does not say at which hit: a number from 1 on")
    if action == "raise" and point in _NOT_RAISED:
        raise _refused(entry, f"nothing can be raised at {point}: use kill, stop, exit or delay=SECONDS")
    if prefix and point == K10:
        raise _refused(entry, f"{K10} is come to for many runs at a time and knows none: leave out {prefix!r}")
    return Fault(point=Point(point), action=action, act=_act_of(entry, action), hit=int(hit), prefix=prefix)


def _act_of(entry: str, action: str) -> Callable[[], None]:
    name, equals, seconds = action.partition("=")
    known = _ACTIONS.get(name)
    if known is not None and not equals:
        return known
    if name == "delay" and equals:
        try:
            return partial(time.sleep, _seconds(seconds))
        except ValueError:
            raise _refused(entry, f"{seconds!r} is no number of seconds") from None
    raise _refused(entry, f"there is no action {action!r}; actions are {', '.join(_ACTIONS)} and delay=SECONDS")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _refused(entry: str, why: str) -> SettingsError:
    return SettingsError(VARIABLE, f"{entry!r}: {why}")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _exit() -> None:
    os._exit(EXIT_CODE)


def _raise() -> None:
    raise FaultPointError("a fault point was told to raise this")


_ACTIONS: Final[Mapping[str, Callable[[], None]]] = {"kill": _kill, "stop": _stop, "exit": _exit, "raise": _raise}


def _armed() -> Mapping[Point, Sequence[Fault]]:
    """What can be understood of the variable; `check` tells of what cannot, where somebody reads it."""
    try:
        return faults_of(os.environ.get(VARIABLE, ""))
    except SettingsError:
        return {}


_FAULTS: Final = _armed()
ON: Final = bool(_FAULTS)
