"""Dead letters, parked steps and explanations with real processes, brokers and stores."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from support.installation import COMMAND_SECONDS, END_SECONDS, Installation, start_json
from support.servers import foreign_environment
from support.workers import ANSWER_SECONDS, Worker
from support.world import blueprint, eventually

from famulus.adapters.kafka.inspection import inspect_group

LATE = blueprint("late", {"a": "tests.quick", "b": "tests.quick"}, ("a", "b"))
POISON = b"\xff\x00no JSON"


async def api(worker: Worker, path: str, body: Any = None) -> Any:
    """What the API answers, whatever its status."""

    def ask() -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{worker.url}/api/v1{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    return await asyncio.to_thread(ask)


async def command(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `famulus` command, as an operator runs it."""
    environment = {**foreign_environment(), **installation.environment, "COLUMNS": "200"}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "famulus.cli", *arguments],
        cwd=installation.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


async def send(installation: Installation, key: bytes | None, value: bytes, **options: Any) -> None:
    async with installation.producer() as producer:
        await producer.send_and_wait(installation.jobs, value, key=key, **options)


async def until(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What is asked for, once it is something."""
    found: list[Any] = []

    async def is_there() -> bool:
        found[:] = [await ask()]
        return bool(found[0])

    await eventually(is_there, within=END_SECONDS, every=0.2)
    return found[0]


async def letters(worker: Worker, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api(worker, f"/dead-letters{query}"))["dead_letters"]
    return found


async def test_a_start_of_an_unknown_blueprint_completes_once_it_is_pushed_and_redriven(
    installation: Installation,
) -> None:
    (worker,) = await installation.start_workers(1)
    await send(installation, b"late-1", start_json("late-1", "late"), headers=[("trace", b"\x00\xff")])
    await send(installation, b"poison", POISON)
    await until(lambda: letters(worker, "?code=not_json"))
    (letter,) = await until(lambda: letters(worker, "?run_id=late-1"))
    unknown = await api(worker, "/runs/late-1/explain")
    await api(worker, "/blueprints", LATE)

    redriven = await command(installation, "dlq", "redrive", letter["id"], "--by", "ada")
    refused = await command(installation, "dlq", "redrive", letter["id"])
    again = await api(worker, f"/dead-letters/{letter['id']}/redrive", {"again": True})

    assert [each["kind"] for each in unknown["run"]][:2] == ["unknown_run", "dead_letter"]
    assert redriven.returncode == 0, redriven.stderr
    assert refused.returncode == 1
    assert "redriven by ada" in refused.stderr
    assert again["outcome"] == "redriven"
    async with installation.records() as auditor:
        await auditor.ended(["late-1"])
        events = [type_ for type_, _ in await auditor.events("late-1")]
    assert events == ["run.started", "step.completed", "step.completed", "run.completed"]

    (poison,) = await letters(worker, "?code=not_json")
    dropped = await command(installation, "dlq", "drop", "--all", "--code", "not_json", "--reason", "a test")
    assert dropped.returncode == 0, dropped.stderr
    assert await letters(worker, "?state=open") == []
    shown = await command(installation, "dlq", "show", poison["id"])
    assert "ff 00 6e 6f 20 4a 53 4f 4e" in shown.stdout


async def test_letters_outlive_the_worker_that_kept_them_and_are_kept_once(installation: Installation) -> None:
    (worker,) = await installation.start_workers(1)
    await send(installation, b"poison", POISON)
    (before,) = await until(lambda: letters(worker))
    worker.kill()
    (second,) = await installation.start_workers(1)
    await send(installation, b"other", POISON)

    async def both() -> list[dict[str, Any]]:
        found = await letters(second)
        return found if len(found) > 1 else []

    found = await until(both)

    assert len(found) == 2
    assert found[1]["id"] == before["id"]


async def test_a_run_is_explained_with_the_owner_of_its_partition_or_without_one(installation: Installation) -> None:
    waiting = blueprint(
        "waits", {"ask": {"uses": "wait", "params": {"signal": "go"}}, "z": "tests.quick"}, ("ask", "z")
    )
    (worker,) = await installation.start_workers(1)
    await api(worker, "/blueprints", waiting)
    await send(installation, b"w-1", start_json("w-1", "waits"))

    async def asks() -> Any:
        explanation = await api(worker, "/runs/w-1/explain")
        kinds = [[each["kind"] for each in explanation[about]] for about in ("run", "steps")]
        return kinds == [["waiting"], ["signal", "predecessors"]]  # until offsets are committed, there is a lag too

    await until(asks)
    told = await command(installation, "explain", "w-1")

    assert told.returncode == 0, told.stderr
    assert "it waits for the signal `go`" in told.stdout

    is_real = "CASSANDRA_CONTACT_POINTS" in installation.servers  # the embedded broker tells neither who has what
    if is_real:
        brokers = installation.servers["KAFKA_BROKERS"]
        facts = await inspect_group(brokers, group=installation.name, topic=installation.jobs, patience=END_SECONDS)
        assert set((facts.owners or {}).values()) == {worker.name}

    worker.send(2)  # SIGINT: it leaves its group
    await worker.ended()

    async def alone() -> list[str]:
        explained = json.loads((await command(installation, "explain", "w-1", "--json")).stdout)
        kinds = [each["kind"] for each in explained["run"]]
        return kinds if "no_owner" in kinds or not is_real else []  # ... nor who has left

    assert (await until(alone))[0] == "waiting"


async def test_a_step_is_parked_until_a_worker_has_it_that_need_not_own_its_run(installation: Installation) -> None:
    (older,) = await installation.start_workers(1)
    run_ids = await installation.start_runs(6, "later")

    async def all_are_parked() -> bool:
        return len((await api(older, "/parked?uses=tests.later"))["parked"]) == len(run_ids)

    await until(all_are_parked)
    explanation = await api(older, f"/runs/{run_ids[0]}/explain")
    listed = await command(installation, "parked", "ls")
    (newer,) = await installation.start_workers(1, FAMULUS_NODES="support.counted_nodes,support.later_nodes")

    async with installation.records() as auditor:
        await auditor.ended(run_ids)
        assert await auditor.statuses(run_ids) == {"completed": len(run_ids)}
    assert [(each["step_id"], each["kind"]) for each in explanation["steps"]] == [
        ("b", "parked"),
        ("c", "predecessors"),
    ]
    assert "`tests.later`" in explanation["steps"][0]["sentence"]
    assert listed.stdout.count("tests.later") == len(run_ids), listed.stderr
    assert {call.pid for call in installation.executions() if call.step_id == "b"} == {newer.pid}
    assert older.exit_code is None
