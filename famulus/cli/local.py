"""A whole installation on this machine, for as long as a command runs: embedded servers, and workers as children."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from pydantic import SecretStr

from famulus.cli.stopping import StopRequest
from famulus.cli.workers import Worker, Workers, worker_environment
from famulus.settings import Settings
from famulus.stacks import EmbeddedStack
from famulus.stacks.ports import LOOPBACK, port_is_free

PORTS_TRIED: Final = 100

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    data_dir: Path
    port: int | None
    """Of the first worker's web views; ``None``: the one of the settings, or the next free one."""
    workers: int = 1
    nodes: Sequence[str] = ()
    blueprints: Sequence[str] = ()
    module_path: Path | None = None
    """Where modules of nodes are found, besides the current folder."""
    log: Path | None = None
    """Where workers log; ``None``: to the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What runs."""

    settings: Settings
    """For commands in this process: the same servers."""
    url: str
    workers: Workers
    ready_seconds: float


@contextmanager
def running(plan: Plan, stop: StopRequest, *, tell: Tell) -> Iterator[Local | None]:
    """Start everything, and stop it in the end: workers first, then the servers they use.

    ``None`` if asked to stop before it was ready. Raises `ClickException` and `StackError` for what cannot start.
    """
    began = time.monotonic()
    data_dir = plan.data_dir.expanduser().resolve()
    with _only_one(data_dir):
        ports = _ports(plan)
        stack = EmbeddedStack(data_dir)
        try:
            environment = {**stack.up(), "FAMULUS_DATA_DIR": str(data_dir)}
            workers = _workers(plan, environment, ports)
            try:
                workers.start()
                ready = workers.wait_ready(stop)
                yield _local(environment, ports[0], workers, time.monotonic() - began) if ready else None
            finally:
                tell("stopping the worker")
                workers.stop(stop)
        finally:
            stack.down()


def _workers(plan: Plan, stack: dict[str, str], ports: Sequence[int]) -> Workers:
    given = {
        **stack,
        "FAMULUS_EMBEDDED": "1",
        "CASSANDRA_CONTACT_POINTS": "",  # whatever the shell or a .env file says
        "FAMULUS_WEB_HOST": LOOPBACK,
    }
    if plan.nodes:
        given["FAMULUS_NODES"] = ",".join(plan.nodes)
    if plan.blueprints:
        given["FAMULUS_BLUEPRINTS"] = ",".join(plan.blueprints)
    environment = worker_environment(given)
    if plan.module_path is not None:
        environment["PYTHONPATH"] = ":".join(filter(None, [str(plan.module_path), environment.get("PYTHONPATH")]))
    return Workers([Worker(environment, port=port, log=plan.log) for port in ports])


def _local(environment: dict[str, str], port: int, workers: Workers, seconds: float) -> Local:
    settings = Settings.load().model_copy(
        update={
            "kafka_brokers": environment["KAFKA_BROKERS"],
            "redis_url": SecretStr(environment["REDIS_URL"]),
            "cassandra_contact_points": None,
            "sqlite_path": Path(environment["FAMULUS_SQLITE_PATH"]),
            "data_dir": Path(environment["FAMULUS_DATA_DIR"]),
            "embedded": True,
        }
    )
    return Local(settings=settings, url=f"http://{LOOPBACK}:{port}", workers=workers, ready_seconds=seconds)


def _ports(plan: Plan) -> list[int]:
    """A port for each worker: those that were asked for, else the first free ones from the usual one on."""
    if plan.port is not None:
        wanted = list(range(plan.port, plan.port + plan.workers))
        for port in wanted:
            if not port_is_free(port):
                raise click.ClickException(f"port {port} is taken: choose another one with --port")
        return wanted
    usual = Settings.load().web_port or 6066
    free = (port for port in range(usual, usual + PORTS_TRIED) if port_is_free(port))
    found = [port for port, _ in zip(free, range(plan.workers), strict=False)]
    if len(found) < plan.workers:
        raise click.ClickException(f"no free port from {usual} on: choose one with --port")
    return found


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """One command at a time has the servers of a folder; the lock dies with its holder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.ClickException(
                f"famulus dev or demo already runs in {data_dir}: stop it first, or give another folder"
            ) from error
        yield
