"""The crash test finds what it is there for, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.world import blueprint

from famulus import testing
from famulus.adapters.memory import MemoryRunStore
from famulus.engine.recovery import Recovery
from famulus.engine.session import Session
from famulus.ids import RunId
from famulus.testing import Kind
from famulus.testing.facts import RecordedRuns

DIAMOND = blueprint(
    "diamond",
    {"a": "a", "b": {"uses": "b", "config": {"maxRetries": 2, "retryDelay": 1000}}, "c": "c", "d": "d"},
    ("a", "b"),
    ("a", "c"),
    ("b", "d"),
    ("c", "d"),
)
VALUES = {"a": 1, "b": 2, "c": 3, "d": 4}


async def test_a_diamond_survives_everything() -> None:
    report = await testing.crash_test(DIAMOND, VALUES)

    report.assert_ok()
    assert report.status == "completed"
    assert report.crashes > 10
    assert "nothing was found" in str(report)


async def test_the_url_of_a_webhook_survives_the_engine_that_made_it() -> None:
    document = blueprint("hooked", {"send": "send", "hook": "webhook"}, ("send", "hook"))
    urls: list[str] = []

    async def send(ctx: Any) -> None:
        urls.append(ctx.webhook_url("hook"))

    report = await testing.crash_test(document, {"send": send})

    assert report.crashes > 0
    assert len(urls) > 1
    assert len(set(urls)) == 1


async def test_retries_waits_and_children_survive() -> None:
    document = blueprint(
        "all",
        {
            "try": {"uses": "try", "config": {"maxRetries": 3, "retryDelay": 60_000}},
            "nap": {"uses": "sleep", "params": {"duration": "2h"}},
            "ask": {"uses": "wait"},
            "sub": {"uses": "subflow", "params": {"blueprintId": "diamond"}},
        },
        ("try", "nap"),
        ("nap", "ask"),
        ("ask", "sub"),
    )

    def nodes() -> dict[str, Any]:
        async def flaky(ctx: Any) -> Any:
            if ctx.attempt < 2:
                raise OSError("away")
            return "there"

        return {**VALUES, "try": flaky}

    report = await testing.crash_test(document, nodes, children=[DIAMOND], answers={"ask": "yes"})

    report.assert_ok()
    assert report.status == "completed"


async def test_calls_that_came_before_their_record_are_told() -> None:
    report = await testing.crash_test(DIAMOND, VALUES)

    assert report.repeated["run/a"] == 2
    assert "called again" in str(report)


async def test_a_run_that_waits_for_nobody_waits_in_every_trial() -> None:
    report = await testing.crash_test(blueprint("w", {"w": {"uses": "wait"}}))

    report.assert_ok()
    assert report.status == "waiting"


async def test_a_node_that_remembers_makes_a_difference() -> None:
    calls: list[int] = []

    async def remembers() -> int:
        calls.append(1)
        return len(calls)

    report = await testing.crash_test(DIAMOND, {**VALUES, "a": remembers})

    assert {finding.kind for finding in report.findings} == {Kind.DIFFERS}
    with pytest.raises(AssertionError, match="context key a is"):
        report.assert_ok()
    assert (await testing.crash_test(DIAMOND, {**VALUES, "a": remembers}, ignore=["a"])).ok


async def test_an_engine_that_starts_before_it_has_stored_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgets(session: Session, batch: Any) -> None:
        """The mistake: what follows from a batch is set going although only every third batch is stored."""
        counted["batches"] += 1
        if counted["batches"] % 3:
            await commit(session, batch)

    counted = {"batches": 0}
    commit = Session._commit
    monkeypatch.setattr(Session, "_commit", forgets)
    report = await testing.crash_test(DIAMOND, VALUES)

    assert not report.ok


async def test_an_engine_that_forgets_what_it_has_recorded_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake: whoever loads a run reads none of the steps."""

    async def without_steps(store: RecordedRuns, run_id: RunId) -> Any:
        rows = await load(store, run_id)
        return None if rows is None else replace(rows, steps=())

    load = MemoryRunStore.load
    monkeypatch.setattr(RecordedRuns, "load", without_steps, raising=False)
    report = await testing.crash_test(DIAMOND, VALUES)

    assert Kind.REPEATED in {finding.kind for finding in report.findings}
    assert "though it was recorded" in str(report)


async def test_an_engine_that_looks_after_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake: whoever takes over waits for records, and those were finished."""

    async def nothing(recovery: Recovery) -> int:
        return 0

    monkeypatch.setattr(Recovery, "look_after_open_runs", nothing)
    retried = blueprint("b", {"a": {"uses": "a", "config": {"maxRetries": 2, "retryDelay": 600_000}}})
    report = await testing.crash_test(retried, lambda: {"a": testing.sequence(OSError("away"), 1)})

    assert Kind.HANGS in {finding.kind for finding in report.findings}


async def test_a_node_that_hangs_is_told() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    report = await testing.crash_test(blueprint("b", {"a": "a"}), {"a": hangs}, patience=0.02)

    assert {finding.kind for finding in report.findings} == {Kind.HANGS}
    assert "a: at work" in str(report)
