"""Each tick of a schedule starts one run, also while a worker is killed and another one takes its schedules over."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import pytest
from support.installation import END_SECONDS, Installation
from support.servers import settings_of
from support.world import eventually

from famulus.client import Famulus

pytestmark = pytest.mark.slow

SCHEDULES = tuple(f"s{number}" for number in range(8))
TICKS = 4


async def ticks_of(famulus: Famulus) -> dict[str, list[int]]:
    """The times of the completed runs of each schedule, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for run in await famulus.list(status="completed", limit=5000):
        schedule_id, _, time = run.run_id.partition(":")
        found[schedule_id].append(int(datetime.fromisoformat(time).timestamp()))
    return {schedule_id: sorted(ticks) for schedule_id, ticks in found.items()}


async def test_kill_9_of_a_worker_loses_no_tick(installation: Installation) -> None:
    _, victim = await installation.start_workers(2)
    async with Famulus.connect(settings_of(installation.environment)) as famulus:
        for schedule_id in SCHEDULES:
            await famulus.schedules.create(schedule_id, "one", every=1, catch_up="all")

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

        async def none_is_missing() -> bool:
            """Runs have partitions of their own, so that of a later tick may complete before another one."""
            return all(
                ticks == list(range(ticks[0], ticks[0] + len(ticks))) for ticks in (await ticks_of(famulus)).values()
            )

        await eventually(none_is_missing, within=END_SECONDS, every=0.25)
