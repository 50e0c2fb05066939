"""Each tick of a schedule starts one run, also while a worker is killed and another one takes its schedules over."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from support.servers import settings_of
from support.world import eventually

from famulus.client import Famulus

if TYPE_CHECKING:
    from support.installation import Installation

pytestmark = pytest.mark.slow

SCHEDULES = tuple(f"s{number}" for number in range(8))
TICKS = 4
END_SECONDS = 90.0


async def ticks_of(famulus: Famulus) -> dict[str, list[int]]:
    """The times of the completed runs of each schedule, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for run in await famulus.list(status="completed", limit=2000):
        schedule_id, _, time = run.run_id.partition(":")
        found[schedule_id].append(int(datetime.fromisoformat(time).timestamp()))
    return {schedule_id: sorted(ticks) for schedule_id, ticks in found.items()}


async def test_kill_9_of_a_worker_loses_no_tick(installation: Installation) -> None:
    _, victim = await installation.start_workers(2)
    async with Famulus.connect(settings_of(installation.environment)) as famulus:
        for schedule_id in SCHEDULES:
            await famulus.schedules.create(schedule_id, "one", every=1)

        async def have_ticked(until: int) -> bool:
            ticks = await ticks_of(famulus)
            return all(ticks.get(each, [0])[-1] >= until for each in SCHEDULES)

        async def all_have_ticked() -> bool:
            ticks = await ticks_of(famulus)
            return all(len(ticks.get(each, [])) >= TICKS for each in SCHEDULES)

        await eventually(all_have_ticked, within=END_SECONDS, every=0.25)
        killed_at = max(ticks[-1] for ticks in (await ticks_of(famulus)).values())
        victim.kill()
        await eventually(lambda: have_ticked(killed_at + TICKS), within=END_SECONDS, every=0.25)
        for schedule_id in SCHEDULES:
            await famulus.schedules.delete(schedule_id)

        for ticks in (await ticks_of(famulus)).values():
            assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
