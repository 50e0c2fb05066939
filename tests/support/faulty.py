"""An installation whose servers can only be reached through proxies, with load on it: what the tests of faults share.

    run_ids = await rig.half_way()      # runs of ten parallel branches and a join, about half of the work is done
    rig.kafka.reset()                   # the fault; a test says how long it lasts
    await rig.recovers(run_ids)         # it is over: within the bound all go on, new ones too, and end as they should

Tests and their auditor speak to the servers directly, so they see what is there whatever workers see.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from support.findings import Records, open_records
from support.installation import BLUEPRINTS, FAN_STEPS, Installation
from support.proxy import Proxy
from support.servers import settings_of
from support.workers import Worker
from support.world import eventually

from famulus.engine.reading import is_ended
from famulus.errors import RetryableError
from famulus.stacks.ports import free_port
from famulus.stacks.server import Server
from famulus.stacks.valkey import valkey

RECOVERY_SECONDS: Final = 30.0
"""From the end of the fault until every run has gone on. How long it takes them to end is a matter of the machine."""
RUNS: Final = 60
PROBES: Final = 10


@dataclass
class Rig:
    installation: Installation
    kafka: Proxy
    redis: Proxy
    valkey: Server
    cassandra: Proxy | None
    proxies: Sequence[Proxy]
    recovered_in: list[tuple[str, float]] = field(default_factory=list)
    """By the first run of a test: seconds from the end of its fault until all runs had gone on."""

    @property
    def environment(self) -> dict[str, str]:
        """Of workers: every server behind its proxy."""
        store = {} if self.cassandra is None else {"CASSANDRA_CONTACT_POINTS": self.cassandra.address}
        return {"KAFKA_BROKERS": self.kafka.address, "REDIS_URL": f"redis://{self.redis.address}/0", **store}

    @property
    def workers(self) -> list[Worker]:
        return [worker for worker in self.installation.workers if worker.exit_code is None]

    async def start_workers(self, count: int, **environment: str) -> list[Worker]:
        return await self.installation.start_workers(count, **{**self.environment, **environment})

    async def half_way(self, runs: int = RUNS) -> list[str]:
        """Start runs, and return their ids when half of their steps were called."""
        run_ids = await self.installation.start_runs(runs)
        await self.called(run_ids, runs * len(FAN_STEPS) // 2)
        return run_ids

    async def called(self, run_ids: Sequence[str], at_least: int) -> None:
        await eventually(lambda: len(self.calls_of(run_ids)) >= at_least, within=60.0, every=0.02)

    def calls_of(self, run_ids: Sequence[str]) -> list[Any]:
        wanted = set(run_ids)
        return [call for call in self.installation.executions() if call.run_id in wanted]

    def called_again(self, run_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Steps that one worker has called twice. Another one calls them again when their partition has moved to it."""
        calls = Counter((call.run_id, call.step_id, call.pid) for call in self.calls_of(run_ids))
        return [(run_id, step_id) for (run_id, step_id, _), count in calls.items() if count > 1]

    async def recovers(self, run_ids: Sequence[str], *, within: float = RECOVERY_SECONDS) -> None:
        """All runs go on within the bound, new ones too; they end as they should, and no worker had to be started anew.

        To go on is to record something that was not recorded before, or to have ended.
        """
        began = time.monotonic()
        alive = self.workers
        for proxy in self.proxies:
            proxy.pass_all()
        async with open_records(settings_of(self.installation.environment)) as records:
            before = await places_of(records, run_ids)
            every = [*run_ids, *await self.installation.start_runs(PROBES)]
            waiting = set(every)

            async def all_have_gone_on() -> bool:
                found = await places_of(records, list(waiting))
                waiting.difference_update(
                    run_id for run_id, place in found.items() if is_ended(place[0]) or place != before.get(run_id)
                )
                return not waiting

            try:
                await eventually(all_have_gone_on, within=began + within - time.monotonic(), every=0.1)
            except AssertionError as error:
                raise AssertionError(f"{len(waiting)} of {len(every)} runs did not go on: {sorted(waiting)}") from error
        self.recovered_in.append((run_ids[0], time.monotonic() - began))
        await self.installation.all_completed(every)
        assert [worker.exit_code for worker in alive] == [None] * len(alive)

    def close(self) -> None:
        self.installation.close()
        for proxy in self.proxies:
            proxy.close()
        self.valkey.down()

    def logs_to_show(self) -> list[tuple[str, str]]:
        return [*self.installation.logs_to_show(), ("recovered in", repr(self.recovered_in))]


@asynccontextmanager
async def open_rig(
    servers: Mapping[str, str], folder: Path, *, blueprints: Sequence[Mapping[str, Any]] = BLUEPRINTS
) -> AsyncIterator[Rig]:
    rig = await build_rig(servers, folder, blueprints=blueprints)
    try:
        yield rig
    except BaseException as error:
        error.add_note("\n".join(f"--- {name}\n{log}" for name, log in rig.logs_to_show()))
        raise
    finally:
        rig.close()


async def build_rig(
    servers: Mapping[str, str], folder: Path, *, blueprints: Sequence[Mapping[str, Any]] = BLUEPRINTS
) -> Rig:
    """Servers of others behind proxies; the Valkey alone is the rig's own, to be emptied and killed."""
    own = valkey(folder / "valkey", free_port())
    await asyncio.to_thread(own.up, lambda _: None)
    contact_points = servers.get("CASSANDRA_CONTACT_POINTS")
    kafka, redis = Proxy.kafka(servers["KAFKA_BROKERS"]), Proxy.resp(own.address)
    cassandra = None if contact_points is None else Proxy.cql(contact_points)
    proxies = [proxy for proxy in (kafka, redis, cassandra) if proxy is not None]
    for proxy in proxies:
        proxy.start()
    installation = Installation(servers, folder, blueprints=blueprints)
    await installation.prepare()
    return Rig(installation, kafka, redis, own, cassandra, proxies)


async def places_of(records: Records, run_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
    """How far the runs have come that are known, as soon as the store can tell: it may be the one that was away."""
    found: dict[str, tuple[str, int]] = {}

    async def are_read() -> bool:
        try:
            found.update(await records.progress(run_ids))
        except RetryableError:
            return False
        return True

    await eventually(are_read, within=RECOVERY_SECONDS, every=0.1)
    return found


async def lasts(seconds: float) -> None:
    """For so long a fault is there: the one thing in these tests that has a length of its own."""
    await asyncio.sleep(seconds)
