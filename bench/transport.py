"""Records per second of a no-op chain through transport, intake and bus: Faust's own transport against ours.

    python bench/transport.py --brokers 127.0.0.1:9092

Each record makes the next one of its chain, whose acknowledgement is awaited before the record is finished. Both
variants run in turn, each several times in a process of its own, on fresh topics; compare the ratios, not the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING

import faust

from famulus.adapters.faust.intake import Intake
from famulus.adapters.faust.transport import install
from famulus.adapters.faust.worker_settings import EMBEDDED_TIMEOUTS, RAW_TOPIC, REAL_TIMEOUTS, worker_settings
from famulus.adapters.kafka.bus import KafkaBus, open_producer
from famulus.adapters.kafka.topics import TopicSpec, ensure_topics
from famulus.ids import RunId

if TYPE_CHECKING:
    from famulus.ports import Record

VARIANTS = ("stock", "tuned")
PARTITIONS = 8


class Chains:
    """Counts records and sends the next one of each chain."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.handled = 0
        self.done = asyncio.Event()
        self.started_at = self.cpu_at_start = 0.0
        self.seconds = self.cpu_seconds = 0.0
        self.bus: KafkaBus

    async def handle(self, record: Record) -> None:
        if not self.handled:
            self.started_at, self.cpu_at_start = time.perf_counter(), time.process_time()
        self.handled += 1
        assert record.key is not None
        assert record.value is not None
        left = int(record.value)
        if left:
            await (await self.bus.send_job(RunId(record.key.decode()), b"%d" % (left - 1)))
        if self.handled == self.expected:
            self.seconds = time.perf_counter() - self.started_at
            self.cpu_seconds = time.process_time() - self.cpu_at_start
            self.done.set()


async def run_variant(variant: str, options: argparse.Namespace) -> None:
    name = f"bench-transport-{variant}-{uuid.uuid4().hex[:6]}"
    counts = await ensure_topics(options.brokers, [TopicSpec(name=name, partitions=PARTITIONS)])
    await _seed(name, options, job_partitions=counts[name])

    chains = Chains(options.chains * options.length)
    timeouts = EMBEDDED_TIMEOUTS if options.embedded else REAL_TIMEOUTS
    settings = worker_settings(brokers=options.brokers, timeouts=timeouts)
    app = faust.App(name, **settings, web_enabled=False, datadir=tempfile.mkdtemp(prefix=name))
    if variant == "tuned":
        install(app)
    chains.bus = KafkaBus(
        lambda: app.producer._producer,  # noqa: SLF001 - faust offers no other way to it
        jobs=name,
        items=name,
        events=name,
        dead_letters=name,
        job_partitions=counts[name],
    )
    intake = Intake(chains.handle, concurrency=options.concurrency, window=20_000)

    @app.agent(app.topic(name, **RAW_TOPIC))
    async def run_jobs(stream: faust.StreamT[bytes]) -> None:
        await intake.drain_stream(stream)

    app.finalize()
    await app.start()
    try:
        await asyncio.wait_for(chains.done.wait(), 300)
    finally:
        await intake.drain(5)
        await app.stop()
    print(
        json.dumps(
            {
                "per_second": chains.handled / chains.seconds,
                "cpu_microseconds": chains.cpu_seconds / chains.handled * 1e6,
            }
        )
    )


async def _seed(topic: str, options: argparse.Namespace, *, job_partitions: int) -> None:
    producer = await open_producer(options.brokers)
    bus = KafkaBus(
        lambda: producer, jobs=topic, items=topic, events=topic, dead_letters=topic, job_partitions=job_partitions
    )
    try:
        first = b"%d" % (options.length - 1)
        for sent in [await bus.send_job(RunId(f"run-{number}"), first) for number in range(options.chains)]:
            await sent
    finally:
        await producer.stop()


def compare(options: argparse.Namespace) -> None:
    results: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant in VARIANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--variant", variant]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[variant].append(json.loads(output.splitlines()[-1]))
            print(f"{variant:6} {results[variant][-1]['per_second']:8.0f} records/s", flush=True)
    median = {
        variant: {key: statistics.median(round_[key] for round_ in rounds) for key in rounds[0]}
        for variant, rounds in results.items()
    }
    for variant, figures in median.items():
        print(f"median {variant}: {figures['per_second']:.0f} records/s, {figures['cpu_microseconds']:.0f} us CPU each")
    print(f"tuned / stock: {median['tuned']['per_second'] / median['stock']['per_second']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--chains", type=int, default=500)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=1024)
    parser.add_argument("--embedded", action="store_true", help="short group timeouts, for Tansu")
    parser.add_argument("--variant", choices=VARIANTS, help="run this one alone, once")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.variant:
        asyncio.run(run_variant(options.variant, options))
    else:
        compare(options)


if __name__ == "__main__":
    main()
