"""What came of it: as values, as JSON and as a page of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

STOP_MOST_SECONDS: Final = 30.0
"""How long progress may stop after the last fault."""
SHOWN: Final = 20
"""Lines of each kind of trouble, in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    seed: int
    stack: str
    workers: int
    seconds: float
    """Of load and faults, without what came after."""
    started: int
    held_back: int
    ended: int
    steps: int
    """Recorded ends of steps."""
    faults: Mapping[str, int]
    ended_alone: Mapping[str, int]
    """Workers that ended without being made to, by exit code."""
    dead_letters: int
    lost: Sequence[str]
    """Accepted, and nowhere in the rows."""
    stuck: Sequence[str]
    """Not ended when the time was over, with where they stand."""
    wrong: Sequence[str]
    """Ended otherwise than runs of their shape do."""
    joins_twice: Sequence[str]
    steps_twice: Sequence[str]
    deviations: Sequence[str]
    """What `famulus verify` printed."""
    recoveries: Sequence[tuple[str, float]]
    """By fault: seconds from its end until all runs that were open had moved."""
    longest_stop: float
    """Seconds without progress after the last fault, while runs were open."""

    @property
    def troubles(self) -> list[str]:
        """Why the trial has failed; empty if it has not."""
        counted = {
            "lost": self.lost,
            "stuck": self.stuck,
            "with a wrong end": self.wrong,
            "with a join that fired twice": self.joins_twice,
            "with a step recorded twice": self.steps_twice,
            "lines of famulus verify": self.deviations,
        }
        found = [f"{len(which)} {what}" for what, which in counted.items() if which]
        if self.dead_letters:
            found.append(f"{self.dead_letters} dead letters")
        if self.longest_stop > STOP_MOST_SECONDS:
            found.append(f"progress stopped for {self.longest_stop:.1f} s after the last fault")
        return found

    def as_json(self) -> dict[str, Any]:
        told = asdict(self)
        seconds = [took for _, took in self.recoveries]
        return {
            **told,
            "runs_per_second": round(self.ended / self.seconds, 2),
            "recovery_p50": quantile(seconds, 0.5),
            "recovery_p99": quantile(seconds, 0.99),
            "troubles": self.troubles,
        }

    def as_text(self) -> str:
        seconds = [took for _, took in self.recoveries]
        slowest = max(self.recoveries, key=lambda each: each[1], default=("none", 0.0))
        rate = self.ended / self.seconds
        alone = ", ".join(f"{count} with code {code}" for code, count in self.ended_alone.items()) or "none"
        text = f"""\
chaos, seed {self.seed}: {self.stack} stack, {self.workers} workers, {self.seconds:.0f} s of load and faults
  load      {self.started} runs started, {self.ended} ended, {rate:.1f} a second; {self.steps} steps
            {self.held_back} starts held back, because too many runs were open
  faults    {sum(self.faults.values())}
{chr(10).join(f"            {count:3} {kind}" for kind, count in sorted(self.faults.items()))}
  workers   that ended by themselves: {alone}
  runs      lost {len(self.lost)}, stuck {len(self.stuck)}, with a wrong end {len(self.wrong)}
  joins     fired twice {len(self.joins_twice)}
  steps     recorded twice {len(self.steps_twice)}
  letters   dead {self.dead_letters}
  verify    {len(self.deviations)} lines
  recovery  p50 {quantile(seconds, 0.5):.1f} s, p99 {quantile(seconds, 0.99):.1f} s, slowest after: {slowest[0]}
  progress  stopped for {self.longest_stop:.1f} s at most after the last fault
"""
        for which in (self.lost, self.stuck, self.wrong, self.joins_twice, self.steps_twice, self.deviations):
            text += "".join(f"    {line}\n" for line in which[:SHOWN])
        return text + (f"FAILED: {'; '.join(self.troubles)}" if self.troubles else "PASSED")


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of the values does not exceed; 0 of none."""
    if not values:
        return 0.0
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 2)
