"""What the auditor finds around runs, how it looks at runs that go on, and what it asks for to repair them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from support.audited import rows_of
from support.heart import graph_of
from support.play import Play, played

from famulus.adapters.memory import MemoryBlueprintStore, MemoryBus, MemoryHookStore, MemoryRunStore
from famulus.engine.audit import AuditOptions, AuditPorts, Deviation, Repairer, audit_all, audit_run
from famulus.engine.catalog import Catalog
from famulus.engine.parents import Parent
from famulus.errors import RunNotFoundError
from famulus.flow import facts as f
from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForWebhook
from famulus.ids import Epoch, RunId, Stamp, StepId, stamp_of
from famulus.ports import Commit, Hook, RunBirth, TimerRow

DAY = 86_400.0


class Installation:
    """Stores in memory, with runs that a test puts there."""

    def __init__(self) -> None:
        self.runs: Any = MemoryRunStore()
        self.hooks = MemoryHookStore()
        self.bus = MemoryBus(partitions=4)
        self.catalog = Catalog(MemoryBlueprintStore(), lambda: 0.0)
        self.now = 0.0
        self.looks = 1

    @property
    def ports(self) -> AuditPorts:
        return AuditPorts(runs=self.runs, timers=self.runs.timers, hooks=self.hooks, partition_of=self.bus.partition_of)

    async def put(
        self,
        play: Play,
        run_id: str = "r",
        *,
        closes: bool = False,
        timers: bool = True,
        parent: Parent | None = None,
        counter: int = 1,
    ) -> RunBirth:
        """Store what the play has come to, as its owner would in one batch."""
        await self.catalog.register(play.heart.graph.blueprint)
        rows, events = rows_of(play.heart)
        partition = self.bus.partition_of(RunId(run_id))
        birth = replace(
            rows.birth,
            run_id=RunId(run_id),
            partition=partition,
            parent=None if parent is None else parent.as_json(),
        )
        stamp = stamp_of(Epoch(1), counter)
        await self.runs.commit(
            Commit(
                birth=birth,
                head=rows.head,
                stamp=stamp,
                first=True,
                closes=closes or play.heart.run.ended_at is not None,
                steps=rows.steps,
                context=rows.context,
                events=events,
                timers=[
                    TimerRow(
                        partition=partition,
                        due_at=due_at,
                        run_id=birth.run_id,
                        kind=key.kind.value,
                        step_id=key.step_id,
                        stamp=stamp,
                    )
                    for key, due_at in play.heart.run.timers.items()
                    if timers
                ],
            )
        )
        self.now = max(self.now, play.heart.time)
        return birth

    async def found(self, **options: Any) -> list[Deviation]:
        given = AuditOptions(**{"settle": 0, "now": lambda: self.now, **options})
        return [deviation async for deviation in audit_all(self.ports, self.catalog, given)]

    async def codes(self, **options: Any) -> set[tuple[str | None, str]]:
        return {(deviation.step_id, deviation.code) for deviation in await self.found(**options)}

    async def repaired(self, **options: Any) -> list[str | None]:
        repairer = Repairer(self.ports, self.catalog, self.bus)
        return [await repairer.repair(deviation) for deviation in await self.found(**options)]

    @property
    def woken(self) -> list[str]:
        records = [msgspec.json.decode(record.value or b"") for partition in self.bus.jobs for record in partition]
        return [record["run_id"] for record in records if record["type"] == "wake"]


def x(given: Any, _run: Any, _step: Any) -> Any:
    return given


def sleeping(*, duration: int = 1000) -> Play:
    return played({"nap": {"uses": "sleep", "params": {"duration": duration}}}, functions={})


def begun() -> Play:
    """A run whose first step is due."""
    play = Play(graph_of({"a": "x"}), {"x": x})
    play.tell(f.RunStarted(at=play.heart.now()))
    return play


def with_child() -> Play:
    return played({"sub": {"uses": "subflow", "params": {"blueprintId": "child"}}}, functions={})


def child_of(play: Play) -> tuple[str, Parent]:
    step = play.run.steps[StepId("sub")]
    return step.waiting_for.run_id, Parent(run_id=RunId("r"), step_id=StepId("sub"))  # type: ignore[union-attr]


async def test_runs_that_go_on_wait_or_have_ended_are_well() -> None:
    site = Installation()
    await site.put(begun(), "begun")
    await site.put(played({"a": "x"}, functions={"x": x}), "ended")
    await site.put(sleeping(), "sleeping", closes=True)
    await site.put(played({"w": "wait"}, functions={}), "waiting", closes=True)

    assert await site.found() == []


# -- the index of open runs --------------------------------------------------------------------------------------------


async def test_a_run_with_something_due_that_is_not_in_the_index_is_lost_and_is_woken() -> None:
    site = Installation()
    await site.put(begun(), closes=True)

    assert await site.codes() == {(None, "index.lost")}
    assert await site.repaired() == ["run r is to be looked after"]
    assert site.woken == ["r"]


async def test_a_parked_step_of_a_run_that_is_not_in_the_index_is_lost() -> None:
    site = Installation()
    play = begun()
    play.tell(f.StepParked(step_id=StepId("a"), attempt=1, reason="nobody has it", at=play.heart.now()))
    await site.put(play, closes=True)

    assert await site.codes() == {("a", "index.lost")}


async def test_a_paused_run_may_leave_the_index_with_steps_that_are_due() -> None:
    site = Installation()
    play = begun()
    play.tell(f.PauseRequested(by="me", reason="lunch", at=play.heart.now()))
    await site.put(play, closes=True)

    assert await site.found() == []


# -- timers ------------------------------------------------------------------------------------------------------------


async def test_a_run_that_sleeps_in_the_store_without_a_timer_is_found_and_gets_one() -> None:
    site = Installation()
    await site.put(sleeping(), closes=True, timers=False)
    assert await site.codes() == {("nap", "timer.missing")}

    assert await site.repaired() == ["run r is to be looked after, and 1 timers are stored again"]

    assert await site.found() == []
    assert site.woken == ["r"]


async def test_a_run_in_the_index_needs_no_row_for_its_timer() -> None:
    site = Installation()
    await site.put(sleeping(), timers=False)

    assert await site.found() == []


async def test_a_timer_on_the_partition_that_a_run_has_by_now_is_found() -> None:
    site = Installation()
    birth = await site.put(sleeping(), closes=True)
    site.bus = MemoryBus(partitions=64)
    elsewhere = site.bus.partition_of(RunId("r"))
    assert elsewhere != birth.partition
    row = (await site.runs.timers.due(birth.partition, until=DAY, limit=1))[0]
    await site.runs.timers.put([replace(row, partition=elsewhere)])
    await site.runs.timers.fired([row])

    assert await site.found() == []


async def test_a_timer_is_late_after_the_grace_and_its_run_is_woken() -> None:
    site = Installation()
    await site.put(sleeping(), closes=True)
    site.now += 60

    assert await site.found(grace=120.0) == []
    assert await site.codes(grace=30.0) == {("nap", "timer.overdue")}
    await site.repaired(grace=30.0)
    assert site.woken == ["r"]


async def test_a_step_whose_delay_before_an_attempt_is_over_may_stand_in_line() -> None:
    site = Installation()
    play = begun_with_retries()
    play.tell(play.failed(play.run.steps[StepId("a")], "ValueError", "no"))
    await site.put(play)
    site.now += DAY

    assert await site.found() == []


def begun_with_retries() -> Play:
    play = Play(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3, "retryDelay": 1000}}}), {"x": x})
    play.tell(f.RunStarted(at=play.heart.now()))
    return play


async def test_an_old_timer_of_a_run_that_has_ended_or_never_was_is_found() -> None:
    site = Installation()
    birth = await site.put(played({"a": "x"}, functions={"x": x}))
    row = TimerRow(
        partition=birth.partition, due_at=1.0, run_id=birth.run_id, kind="step", step_id=StepId("a"), stamp=Stamp(1)
    )
    await site.runs.timers.put([row, replace(row, run_id=RunId("nobody")), replace(row, due_at=DAY * 10)])
    assert await site.found() == []

    site.now = DAY

    assert sorted((each.run_id, each.code) for each in await site.found()) == [
        ("nobody", "timer.left"),
        ("r", "timer.left"),
    ]


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_that_the_store_does_not_know_or_that_is_anothers_is_found() -> None:
    site = Installation()
    play = begun()
    play.tell(play.suspended(play.run.steps[StepId("a")], StepStatus.WAITING, ForWebhook(token_digest="abc")))
    await site.put(play, closes=True)
    assert await site.codes() == {("a", "hook.missing")}

    assert await site.repaired() == ["the webhook of a is stored again"]

    assert await site.found() == []
    site.hooks = MemoryHookStore()
    await site.hooks.put(Hook(digest="abc", run_id=RunId("other"), step_id=StepId("a")))
    assert await site.codes() == {("a", "hook.of_another")}


# -- families ----------------------------------------------------------------------------------------------------------


async def test_a_child_that_was_never_started_is_found_once_nobody_is_about_to_start_it() -> None:
    site = Installation()
    await site.put(with_child(), closes=True)
    assert await site.found() == []

    site.now += 120

    assert await site.codes() == {("sub", "child.missing")}
    await site.put(with_child(), "still-open")
    assert await site.codes() == {("sub", "child.missing")}
    await site.repaired()
    assert site.woken == ["r"]


async def test_a_child_that_ended_long_ago_without_its_parent_hearing_of_it_is_found() -> None:
    site = Installation()
    play = with_child()
    await site.put(play, closes=True)
    child, parent = child_of(play)
    await site.put(played({"a": "x"}, functions={"x": x}), child, parent=parent)
    assert await site.found() == []

    site.now += 120

    assert await site.codes() == {("sub", "child.unheard")}


async def test_a_child_that_goes_on_though_its_parent_has_ended_is_found_and_the_parent_is_asked() -> None:
    site = Installation()
    play = with_child()
    child, parent = child_of(play)
    play.tell(f.CancelRequested(by="me", reason="enough", at=play.heart.now()))
    await site.put(play)
    await site.put(played({"w": "wait"}, functions={}), child, parent=parent, closes=True)
    assert await site.found() == []

    site.now += 120

    assert await site.codes() == {(None, "child.orphan")}
    await site.repaired()
    assert site.woken == ["r"]


# -- at rest -----------------------------------------------------------------------------------------------------------


async def test_what_is_due_is_stuck_only_where_everything_is_to_be_done() -> None:
    site = Installation()
    await site.put(begun())

    assert await site.found() == []
    assert await site.codes(at_rest=True) == {("a", "step.stuck")}


# -- how it looks ------------------------------------------------------------------------------------------------------


class Busy:
    """A store in which somebody writes between two reads."""

    def __init__(self, runs: MemoryRunStore, between: Sequence[Callable[[], Awaitable[object]]]) -> None:
        self._runs = runs
        self._left = list(between)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    async def load(self, run_id: RunId) -> Any:
        rows = await self._runs.load(run_id)
        if self._left:
            await self._left.pop(0)()
        return rows


async def test_a_run_that_is_written_while_it_is_read_is_read_again() -> None:
    site = Installation()
    play = begun()
    await site.put(play)

    async def goes_on() -> None:
        play.go()
        await site.put(play, counter=2)

    site.runs = Busy(site.runs, [goes_on])

    assert await site.found() == []


async def test_a_run_that_is_written_all_the_time_is_left_for_another_time() -> None:
    site = Installation()
    play = begun()
    await site.put(play, closes=True)
    counters = iter(range(2, 100))

    async def goes_on() -> None:
        await site.put(play, counter=next(counters), closes=True)

    site.runs = Busy(site.runs, [goes_on] * 90)

    assert await site.found() == []


async def test_what_was_only_on_its_way_is_no_deviation() -> None:
    site = Installation()
    play = begun()
    await site.put(play, closes=True)
    runs = site.runs

    async def nothing() -> None:
        pass

    async def enters_the_index() -> None:
        site.runs = runs
        await site.put(play, counter=2)

    site.runs = Busy(runs, [nothing, enters_the_index])

    assert await site.found(settle=0.01) == []


async def test_a_deviation_that_stays_is_told_once() -> None:
    site = Installation()
    await site.put(begun(), closes=True)

    assert [each.code for each in await site.found(settle=0.01)] == ["index.lost"]


async def test_a_run_whose_blueprint_is_gone_is_found() -> None:
    site = Installation()
    await site.put(begun())
    site.catalog = Catalog(MemoryBlueprintStore(), lambda: 0.0)

    assert await site.codes() == {(None, "blueprint.missing")}
    assert await site.repaired() == [None]


async def test_one_run_is_looked_at_alone_and_one_that_does_not_exist_is_an_error() -> None:
    site = Installation()
    await site.put(begun(), "lost", closes=True)
    await site.put(begun(), "well")
    options = AuditOptions(settle=0, now=lambda: site.now)

    assert await audit_run(site.ports, site.catalog, RunId("well"), options) == []
    assert [each.run_id for each in await audit_run(site.ports, site.catalog, RunId("lost"), options)] == ["lost"]
    with pytest.raises(RunNotFoundError):
        await audit_run(site.ports, site.catalog, RunId("nobody"), options)


def test_a_deviation_says_where_what_and_by_which_rule() -> None:
    found = Deviation(RunId("r"), StepId("a"), "index.lost", "it is lost")

    assert str(found) == "r a: it is lost [index.lost]"
    assert str(replace(found, step_id=None)) == "r: it is lost [index.lost]"
