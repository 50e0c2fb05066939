"""The Faust app that the tests of the intake start as a worker: `faust -A faust_worker worker`.

A record is a JSON object with an id and a kind: "wait" runs until the gate is opened, any other for some milliseconds.
What is not JSON becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust

from famulus.adapters.faust import transport
from famulus.adapters.faust.intake import Intake
from famulus.adapters.faust.transport import install
from famulus.adapters.faust.worker_settings import EMBEDDED_TIMEOUTS, RAW_TOPIC, REAL_TIMEOUTS, worker_settings
from famulus.adapters.kafka.bus import KafkaBus

if TYPE_CHECKING:
    from famulus.ports import Record

TOPIC = os.environ.get("TEST_TOPIC", "")
FOLDER = Path(os.environ.get("TEST_FOLDER", "."))
DRAIN_SECONDS = 60.0
IS_REAL = os.environ.get("TEST_SERVERS") == "real"
SESSION_SECONDS = float(os.environ.get("TEST_SESSION_SECONDS", "10" if IS_REAL else "6"))
"""Long: a worker that gets no time for so long loses its partitions, and what it has done since its last commit comes
again."""
TIMEOUTS = replace(REAL_TIMEOUTS if IS_REAL else EMBEDDED_TIMEOUTS, session=SESSION_SECONDS, rebalance=SESSION_SECONDS)


def note(kind: str, name: str) -> None:
    with (FOLDER / "notes").open("ab", buffering=0) as file:
        file.write(f"{kind} {name} {os.getpid()}\n".encode())


def create_app() -> faust.App:
    app = faust.App(
        TOPIC,
        **worker_settings(brokers=os.environ["TEST_BROKERS"], timeouts=TIMEOUTS),
        datadir=os.environ["TEST_DATADIR"],
        topic_partitions=4,
        topic_replication_factor=1,
    )
    transport.LOOK_SECONDS = float(os.environ.get("TEST_LOOK_SECONDS", transport.LOOK_SECONDS))  # type: ignore[misc]
    install(app)
    jobs = app.topic(TOPIC, **RAW_TOPIC)
    bus = KafkaBus(
        lambda: app.producer._producer,
        jobs=TOPIC,
        items=TOPIC,
        events=TOPIC,
        dead_letters=f"{TOPIC}-dead",
        job_partitions=4,
    )

    def handle(record: Record) -> Any:
        try:
            job = json.loads(record.value or b"")
        except ValueError as error:
            return letter(record, str(error))
        note("start", job["id"])  # here and not in its task, which begins a turn of the loop later
        if job["kind"] == "quick":
            note("end", job["id"])
            return None
        return run(job)

    async def letter(record: Record, reason: str) -> None:
        await (await bus.send_dead_letter(record, code="not_json", reason=reason))

    async def run(job: dict[str, Any]) -> None:
        if job["kind"] == "wait":
            while not (FOLDER / "gate").exists():  # noqa: ASYNC110 - opened by another process
                await asyncio.sleep(0.02)
        else:
            await asyncio.sleep(job["milliseconds"] / 1000)
        note("end", job["id"])

    intake = Intake(handle, concurrency=50, window=1000)

    @app.agent(jobs, name="jobs")
    async def run_jobs(stream: faust.StreamT[bytes]) -> None:
        await intake.drain_stream(stream)

    if "TEST_TABLE" in os.environ:
        add_table(app)

    @app.on_partitions_revoked.connect
    async def revoked(_app: faust.App, partitions: set[Any], **_: Any) -> None:
        note("revoked", str(len(partitions)))

    @app.on_partitions_assigned.connect
    async def assigned(_app: faust.App, partitions: set[Any], **_: Any) -> None:
        note("assigned", str(len([tp for tp in partitions if tp.topic == TOPIC])))

    @app.on_rebalance_complete.connect
    async def completed(_app: faust.App, **_: Any) -> None:
        await asyncio.sleep(0.3)  # time for a record to slip through, if one could
        note("completed", str(_app.consumer_generation_id))

    @app.on_before_shutdown.connect
    async def drain(_app: faust.App, **_: Any) -> None:
        note("drained", str(await intake.drain(DRAIN_SECONDS)))

    return app


def add_table(app: faust.App) -> None:
    seen = app.Table("seen", default=int, partitions=4)

    @app.agent(app.topic(f"{TOPIC}-seen", **RAW_TOPIC), name="seen")
    async def count(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            name = value.decode()
            seen[name] += 1
            note("seen", f"{name}={seen[name]}")


def __getattr__(name: str) -> Any:
    """The app, made when `faust -A` asks for it and not when this module is imported."""
    if name == "app":
        return globals().setdefault("app", create_app())
    raise AttributeError(name)
