"""``famulus stack``: the real servers on this machine, without Docker."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from famulus.cli.terminal import json_option, print_json
from famulus.stacks import EmbeddedStack, RealStack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.stacks import ServerStatus
    from famulus.stacks.stack import Stack

REAL_DATA: Final = Path(".famulus/stack")
EMBEDDED_DATA: Final = Path(".famulus")
PORT: Final = click.IntRange(1, 65535)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder for data, logs and ports. Default: {REAL_DATA}, with --embedded {EMBEDDED_DATA}.",
)
embedded_option = click.option(
    "--embedded", is_flag=True, help="The servers of `famulus dev`, from wheels: a broker in memory, and Valkey."
)


@click.group()
def stack() -> None:
    """Start and stop servers on this machine: real Kafka, Cassandra and Valkey, or the embedded ones."""


@stack.command()
@data_option
@embedded_option
@json_option
@click.option("--kafka-port", type=PORT, help="Default: a free one, kept over restarts.")
@click.option("--cassandra-port", type=PORT, help="Likewise.")
@click.option("--redis-port", type=PORT, help="Likewise.")
@click.option("--cassandra-heap", type=click.IntRange(min=256), default=1024, show_default=True, help="In MB.")
@click.option(
    "--env-file", type=click.Path(path_type=Path, dir_okay=False), help="Also write KEY=value lines to this file."
)
def up(
    *,
    data: Path | None,
    embedded: bool,
    as_json: bool,
    kafka_port: int | None,
    cassandra_port: int | None,
    redis_port: int | None,
    cassandra_heap: int,
    env_file: Path | None,
) -> None:
    """Start what does not run and print the variables of a worker.

    In a shell: eval "$(famulus stack up)"
    """
    if embedded and cassandra_port is not None:
        raise click.UsageError("--cassandra-port: there is no Cassandra in the embedded stack")
    console = Console(stderr=True)

    def progress(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    servers: Stack
    if embedded:
        servers = EmbeddedStack(data or EMBEDDED_DATA, kafka_port=kafka_port, redis_port=redis_port, progress=progress)
    else:
        servers = RealStack(
            data or REAL_DATA,
            kafka_port=kafka_port,
            cassandra_port=cassandra_port,
            redis_port=redis_port,
            cassandra_heap_mb=cassandra_heap,
            progress=progress,
        )
    with console.status("Starting the servers"):
        environment = servers.up()
    if embedded:
        environment |= {"FAMULUS_EMBEDDED": "1"}
    if env_file is not None:
        env_file.write_text("".join(f"{key}={value}\n" for key, value in environment.items()))
    if as_json:
        print_json(environment)
    else:
        click.echo(_export_lines(environment))


@stack.command()
@data_option
@embedded_option
@json_option
def down(*, data: Path | None, embedded: bool, as_json: bool) -> None:
    """Stop the servers; what lies on disk stays."""
    with Console(stderr=True).status("Stopping the servers"):
        stopped = _stack(data, embedded=embedded).down()
    if as_json:
        print_json({"stopped": stopped})
    else:
        click.echo(f"Stopped: {', '.join(stopped) or 'nothing ran'}")


@stack.command()
@data_option
@embedded_option
@json_option
def status(*, data: Path | None, embedded: bool, as_json: bool) -> None:
    """Show which servers run, where, and since when."""
    servers = _stack(data, embedded=embedded).status()
    if as_json:
        print_json([asdict(server) for server in servers])
    else:
        Console().print(_status_table(servers))


def _stack(data: Path | None, *, embedded: bool) -> Stack:
    return EmbeddedStack(data or EMBEDDED_DATA) if embedded else RealStack(data or REAL_DATA)


def _export_lines(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {key}={shlex.quote(value)}" for key, value in environment.items())


def _status_table(servers: Sequence[ServerStatus]) -> Table:
    table = Table("Server", "State", "Address", "Pid", "Uptime", "Version", "Log", box=None)
    for server in servers:
        table.add_row(
            server.name,
            "[green]running[/]" if server.running else "[dim]stopped[/]",
            server.address,
            str(server.pid or ""),
            "" if server.uptime_seconds is None else f"{server.uptime_seconds:.0f} s",
            server.version,
            str(server.log),
        )
    return table
