"""The tables are migrated, by three at once, while workers make runs go on in them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from support.documents import blueprint
from support.installation import BLUEPRINTS, Installation
from support.servers import settings_of

from famulus.adapters.cassandra import connection
from famulus.adapters.cassandra.schema import EXPIRING_TABLES, migrate
from famulus.adapters.cassandra.statements import migrations
from famulus.client import Famulus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from famulus.adapters.cassandra.driver import Session

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.long]

LAST = [migration.version for migration in migrations()[-3:]]
"""The migrations that are applied while workers work."""
AT_ONCE = 3
RUNS_A_SECOND = 10
UP_TO_DATE = "the tables are up to date"
YEAR = 365 * 24 * 3600
LARGE = blueprint("large", {"large": {"uses": "tests.large", "params": {"bytes": 2_000_000}}})


class OwnKeyspace(Installation):
    """Its tables are nobody else's, so a test may take some away."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "FAMULUS_CASSANDRA_KEYSPACE": self.name}


@pytest.fixture
async def installation(real_servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[OwnKeyspace]:
    installation = OwnKeyspace(real_servers, tmp_path, blueprints=(*BLUEPRINTS, LARGE))
    await installation.prepare()
    yield installation
    installation.close()


@pytest.fixture
def plain(installation: OwnKeyspace) -> Iterator[Session]:
    """A session that knows of no rule of ours."""
    session = connection.connect(installation.servers["CASSANDRA_CONTACT_POINTS"], request_timeout=60)
    session.set_keyspace(installation.name)
    yield session
    installation.close()
    session.execute(f"DROP KEYSPACE {installation.name}")
    session.cluster.shutdown()


@dataclass
class Load:
    """Runs that are started, so many every second."""

    installation: Installation
    run_ids: list[str] = field(default_factory=list)

    async def goes_on(self) -> None:
        """Wait until steps begin that had not."""
        await self.installation.executed(len(self.installation.executions()) + 1)


@asynccontextmanager
async def load_on(installation: Installation) -> AsyncIterator[Load]:
    load, is_over = Load(installation), asyncio.Event()

    async def keep_starting() -> None:
        while not is_over.is_set():
            load.run_ids += await installation.start_runs(RUNS_A_SECOND)
            with suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), timeout=1)

    starting = asyncio.create_task(keep_starting())
    try:
        yield load
    finally:
        is_over.set()
        await starting


def take_away_the_last(session: Session) -> None:
    """As if these migrations had not been applied. The load has no use for their tables."""
    for migration in reversed([each for each in migrations() if each.version in LAST]):
        for statement in reversed(migration.statements):
            (made,) = re.findall(r"CREATE (TABLE|TYPE) IF NOT EXISTS (\w+)", statement)
            session.execute(f"DROP {' '.join(made)}")
        session.execute("DELETE FROM schema_versions WHERE scope = 'famulus' AND version = %s", (migration.version,))


async def test_three_migrations_at_once_under_load_lose_no_commit_and_leave_the_newest_tables(
    installation: OwnKeyspace, plain: Session
) -> None:
    workers = await installation.start_workers(2)
    async with load_on(installation) as load:
        await load.goes_on()
        await asyncio.to_thread(take_away_the_last, plain)
        await load.goes_on()

        migrated = await asyncio.gather(*(installation.command("schema", "migrate", "--json") for _ in range(AT_ONCE)))
        await load.goes_on()
        again = await asyncio.gather(*(installation.command("schema", "migrate", "--json") for _ in range(AT_ONCE)))
        # The tables that are at work are altered too.
        points = installation.servers["CASSANDRA_CONTACT_POINTS"]
        expiring = (migrate(points, keyspace=installation.name, default_time_to_live=YEAR) for _ in range(AT_ONCE))
        assert await asyncio.gather(*expiring) == [[]] * AT_ONCE
        await load.goes_on()

    assert {each.returncode for each in (*migrated, *again)} == {0}, [each.stderr for each in (*migrated, *again)]
    done = [json.loads(each.stdout)["done"] for each in migrated]
    assert {line for lines in done for line in lines} - {UP_TO_DATE} == {f"migration {each} applied" for each in LAST}
    assert [json.loads(each.stdout)["done"] for each in again] == [[UP_TO_DATE]] * AT_ONCE
    expires = plain.execute(
        "SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = %s",
        (installation.name,),
    )
    assert {table for table, seconds in expires if seconds == YEAR} == set(EXPIRING_TABLES)

    await installation.all_completed(load.run_ids)
    assert {call.attempt for call in installation.executions()} == {1}
    async with Famulus.connect(settings_of(installation.environment)) as famulus:
        large = await (await famulus.start("large")).result()  # in a table that was made under the load
    assert len(large["large"]) == LARGE["nodes"][0]["params"]["bytes"]
    verified = await installation.command("verify", "--at-rest")
    assert (verified.returncode, verified.stdout) == (0, "")
    for worker in workers:
        assert (worker.exit_code, worker.problems()) == (None, [])
