"""Where a measurement takes place: the servers, started for it or named in the environment, and a folder."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.blueprints import write_blueprints
from famulus.settings import Settings
from famulus.stacks import EmbeddedStack, RealStack

KEYSPACE: Final = "famulus_bench"
SERVER_VARIABLES: Final = ("KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "CASSANDRA_DATACENTER", "REDIS_URL")
PID_VARIABLES: Final = {"kafka": "KAFKA_PID", "cassandra": "CASSANDRA_PID", "valkey": "REDIS_PID"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    stack: str
    servers: Mapping[str, str]
    """The variables that name the servers to a worker."""
    folder: Path
    embedded: bool
    server_pids: Mapping[str, int] = field(default_factory=dict)
    server_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def blueprints(self) -> Path:
        return self.folder / "blueprints"

    def settings(self, namespace: str) -> Settings:
        """The settings that this process reads the store with, whatever its own environment says."""
        given: dict[str, Any] = {
            "kafka_brokers": self.servers["KAFKA_BROKERS"],
            "cassandra_contact_points": self.servers.get("CASSANDRA_CONTACT_POINTS"),
            "cassandra_datacenter": self.servers.get("CASSANDRA_DATACENTER", "datacenter1"),
            "cassandra_keyspace": KEYSPACE,
            "sqlite_path": self.servers.get("FAMULUS_SQLITE_PATH"),
            "namespace": namespace,
            "jobs_topic": f"{namespace}.jobs",
        }
        return Settings.load(_env_file=None, **given)

    def worker_environment(self, namespace: str, exec_log: Path) -> dict[str, str]:
        return {
            **self.servers,
            "FAMULUS_CASSANDRA_KEYSPACE": KEYSPACE,
            "FAMULUS_EMBEDDED": "true" if self.embedded else "false",
            "FAMULUS_NAMESPACE": namespace,
            "FAMULUS_GROUP": namespace,
            "FAMULUS_JOBS_TOPIC": f"{namespace}.jobs",
            "FAMULUS_ITEMS_TOPIC": f"{namespace}.items",
            "FAMULUS_EVENTS_TOPIC": f"{namespace}.events",
            "FAMULUS_DEAD_LETTERS_TOPIC": f"{namespace}.dead-letters",
            "FAMULUS_NODES": "bench.nodes",
            "FAMULUS_BLUEPRINTS": str(self.blueprints),
            "EXEC_LOG": str(exec_log),
        }


def new_namespace() -> str:
    """A name under which nothing was ever stored or sent."""
    return f"bench_{uuid.uuid4().hex[:12]}"


@contextmanager
def open_site(stack: str) -> Iterator[Site]:
    """The stack `embedded` or `real`, in a temporary folder and gone afterwards; or `env`, which is left running."""
    with tempfile.TemporaryDirectory(prefix="famulus-bench-") as name:
        folder = Path(name)
        write_blueprints(folder / "blueprints")
        if stack == "env":
            yield _site_of_environment(folder)
            return
        make = EmbeddedStack if stack == "embedded" else RealStack
        with make(folder / "stack", progress=report) as servers:
            status = servers.status()
            yield Site(
                stack=stack,
                servers=servers.environment(),
                folder=folder,
                embedded=stack == "embedded",
                server_pids={each.name: each.pid for each in status if each.pid is not None},
                server_versions={each.name: each.version for each in status},
            )


def report(line: str) -> None:
    """Tell a person how far it is; standard output is for the result."""
    print(line, file=sys.stderr, flush=True)


def _site_of_environment(folder: Path) -> Site:
    servers = {name: os.environ[name] for name in SERVER_VARIABLES if os.environ.get(name)}
    if "KAFKA_BROKERS" not in servers:
        raise SystemExit("--stack env takes the servers from KAFKA_BROKERS, CASSANDRA_CONTACT_POINTS, REDIS_URL")
    _require_loopback(servers)
    if "CASSANDRA_CONTACT_POINTS" not in servers:
        servers["FAMULUS_SQLITE_PATH"] = str(folder / "famulus.db")
    pids = {name: int(os.environ[variable]) for name, variable in PID_VARIABLES.items() if os.environ.get(variable)}
    return Site(stack="env", servers=servers, folder=folder, embedded=False, server_pids=pids)


def _require_loopback(servers: Mapping[str, str]) -> None:
    """A benchmark loads servers as much as it can: never those of somebody else."""
    for name in ("KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "REDIS_URL"):
        for address in servers.get(name, "127.0.0.1").split(","):
            host = address.rpartition("//")[2].rpartition("@")[2]
            if not host.strip().startswith(("127.0.0.1", "localhost")):
                raise SystemExit(f"{name} is {address!r}: the benchmark uses servers on loopback only")
