"""What every store of schedules promises; see `famulus.ports.ScheduleStore`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from famulus.ids import ScheduleId, Stamp
from famulus.ports import ScheduleProgress, ScheduleStore, StoredSchedule

if TYPE_CHECKING:
    from conftest import Backend

REPORT = ScheduleId("report")
WRITTEN_AT = 1_795_536_000.123456


def stored(body: bytes = b'{"n": 1}', *, written_at: float = WRITTEN_AT) -> StoredSchedule:
    return StoredSchedule(schedule_id=REPORT, body=body, written_at=written_at)


def progress(last_tick: int, *, stamp: int) -> ScheduleProgress:
    return ScheduleProgress(last_tick=last_tick, stamp=Stamp(stamp))


@pytest.fixture
async def schedules(backend: Backend, namespace: str) -> ScheduleStore:
    return await backend.schedule_store(namespace)


async def test_a_schedule_is_found_as_it_was_put(schedules: ScheduleStore) -> None:
    await schedules.put(stored())
    await schedules.put(stored())

    assert await schedules.get(REPORT) == stored()
    assert await schedules.get(ScheduleId("other")) is None


async def test_all_are_listed_by_id_with_their_progress(schedules: ScheduleStore) -> None:
    reached = ScheduleProgress(last_tick=2**40, started=7, sent_at=8.25, waiting=9, stamp=Stamp(3 * 2**40 + 1))
    for name in ("b", "a", "c"):
        await schedules.put(replace(stored(), schedule_id=ScheduleId(name)))
    await schedules.advance(ScheduleId("b"), reached)

    found = await schedules.all()

    assert [each.schedule_id for each in found] == ["a", "b", "c"]
    assert [each.progress for each in found] == [None, reached, None]


async def test_of_two_definitions_the_later_one_stays(schedules: ScheduleStore) -> None:
    newer = stored(b'{"n": 2}', written_at=WRITTEN_AT + 0.000_001)

    await schedules.put(newer)
    await schedules.put(stored())

    assert await schedules.get(REPORT) == newer


async def test_definition_and_progress_do_not_overwrite_each_other(schedules: ScheduleStore) -> None:
    await schedules.put(stored())
    await schedules.advance(REPORT, progress(60, stamp=5))
    await schedules.put(stored(b'{"n": 2}', written_at=WRITTEN_AT + 1))
    await schedules.advance(REPORT, progress(120, stamp=6))

    found = await schedules.get(REPORT)

    assert found == replace(stored(b'{"n": 2}', written_at=WRITTEN_AT + 1), progress=progress(120, stamp=6))


async def test_a_former_owner_does_not_set_the_progress_back(schedules: ScheduleStore) -> None:
    await schedules.put(stored())
    await schedules.advance(REPORT, progress(120, stamp=6))
    await schedules.advance(REPORT, progress(180, stamp=5))

    found = await schedules.get(REPORT)

    assert found is not None
    assert found.progress == progress(120, stamp=6)


async def test_what_is_deleted_is_gone_with_its_progress(schedules: ScheduleStore) -> None:
    await schedules.put(stored())
    await schedules.advance(REPORT, progress(60, stamp=5))
    found = await schedules.get(REPORT)
    assert found is not None

    await schedules.delete(found)
    await schedules.delete(found)
    await schedules.put(stored(b'{"n": 2}', written_at=WRITTEN_AT + 1))

    assert await schedules.all() == [stored(b'{"n": 2}', written_at=WRITTEN_AT + 1)]


async def test_what_was_written_after_it_was_read_is_not_deleted(schedules: ScheduleStore) -> None:
    await schedules.put(stored())
    seen = await schedules.get(REPORT)
    assert seen is not None
    await schedules.put(stored(b'{"n": 2}', written_at=WRITTEN_AT + 1))

    await schedules.delete(seen)

    assert await schedules.get(REPORT) == stored(b'{"n": 2}', written_at=WRITTEN_AT + 1)


async def test_progress_without_a_schedule_shows_nowhere(schedules: ScheduleStore) -> None:
    await schedules.advance(REPORT, progress(60, stamp=5))

    assert (await schedules.get(REPORT), list(await schedules.all())) == (None, [])


async def test_another_client_sees_the_schedules_of_its_own_namespace(backend: Backend, namespace: str) -> None:
    here, there = await backend.schedule_store(namespace), await backend.schedule_store(f"{namespace}_2")

    await here.put(stored())

    assert await (await backend.schedule_store(namespace)).get(REPORT) == stored()
    assert list(await there.all()) == []
