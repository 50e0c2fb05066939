"""Nodes that run in processes of their own."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from support import cpu_bound
from support.world import World, blueprint

from famulus.engine.execution import ExecutionLimits
from famulus.nodes import Registry, node

FUNCTIONS = {
    name: getattr(cpu_bound, name) for name in ("add", "which", "context", "die", "fail", "hang", "beat", "odd")
}


async def outcome(uses: str, given: Any = None, *, params: Any = None, **config: Any) -> Any:
    document = blueprint("one", {"a": {"uses": uses, "inputs": "given", "params": params or {}, "config": config}})
    async with World(FUNCTIONS) as world:
        view = await world.run(document, {"given": given, "known": 7})
        records = [msgspec.json.decode(record.value or b"") for events in world.bus.events for record in events]
    events = [event for record in records for event in record["events"]]
    return view.steps[0], view.context, events


async def test_the_input_is_converted_there_and_the_output_comes_back() -> None:
    step, _, _ = await outcome("add", {"start": 0, "end": 1000})

    assert step.output == sum(range(1000))


async def test_processes_are_few_and_used_again() -> None:
    nodes = {f"n{number}": "which" for number in range(12)}
    async with World(FUNCTIONS, execution=ExecutionLimits(processes=2)) as world:
        view = await world.run(blueprint("one", nodes))

    processes = {step.output for step in view.steps}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes


async def test_the_context_can_be_read_as_declared_and_what_is_written_is_recorded() -> None:
    step, context, events = await outcome("context")

    assert (step.output, step.action) == ("r1/a", "go")
    assert context["written"] == [7, "nothing", False]
    assert "known" not in context
    told = {event["type"]: event for event in events}
    assert told["step.progress"]["text"] == "half"
    assert told["step.chunk"]["chunk"] == {"part": 1}


async def test_reading_what_is_not_declared_fails_the_step_and_says_how_to() -> None:
    step, _, _ = await outcome("context", params={"key": "given"}, maxRetries=3)

    assert (step.status, step.attempt) == ("failed", 1)
    assert "`reads`" in step.error["message"]


async def test_a_process_that_is_killed_fails_the_attempt_and_the_next_one_has_another() -> None:
    step, _, _ = await outcome("die", maxRetries=2)

    assert (step.status, step.output, step.attempt) == ("completed", "done", 2)


async def test_a_process_that_is_killed_says_so() -> None:
    step, _, _ = await outcome("die")

    assert step.error["type"] == "NodeProcessError"
    assert "-9" in step.error["message"]


@pytest.mark.parametrize(
    ("how", "error", "message", "attempts"),
    [
        ("value", "ValueError", "bad", 2),
        ("never", "NonRetryableError", "never", 1),
        ("odd", "OddError", "a and b", 2),
    ],
)
async def test_errors_come_back_as_they_were_raised(how: str, error: str, message: str, attempts: int) -> None:
    step, context, _ = await outcome("fail", params={"how": how}, maxRetries=2)

    assert (step.error["type"], step.error["message"], step.attempt) == (error, message, attempts)
    assert "in fail" in step.error["traceback"]
    assert context["tried"] == attempts


async def test_an_output_that_cannot_be_stored_is_told_by_its_process() -> None:
    step, _, _ = await outcome("odd", maxRetries=3)

    assert (step.error["type"], step.attempt) == ("OutputError", 1)


@pytest.mark.parametrize("limit", ["timeout", "heartbeatTimeout"])
async def test_an_attempt_out_of_time_has_its_process_killed(limit: str) -> None:
    async with World(FUNCTIONS, execution=ExecutionLimits(processes=1)) as world:
        config = {limit: 4000, "maxRetries": 10}  # on a busy machine the next process may not begin within it either
        view = await world.run(blueprint("one", {"a": {"uses": "hang", "config": config}}))

    assert view.steps[0].output == "done"
    assert view.steps[0].attempt > 1


async def test_heartbeats_come_through() -> None:
    step, _, _ = await outcome("beat", heartbeatTimeout=30_000)

    assert step.output == "done"


async def in_loop() -> None: ...


class Work:
    def exec(self, prepared: Any) -> None: ...


@pytest.mark.parametrize("function", [in_loop, Work, lambda: None], ids=["async def", "class", "lambda"])
def test_what_cannot_run_in_another_process_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="cpu_bound"):
        Registry().register("f", node("f", cpu_bound=True)(function))
