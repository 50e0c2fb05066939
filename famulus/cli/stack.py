"""``famulus stack``: the real servers on this machine, without Docker."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from famulus.stacks import RealStack, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.stacks import ServerStatus

DEFAULT_DATA: Final = Path(".famulus/stack")
PORT: Final = click.IntRange(1, 65535)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA,
    show_default=True,
    help="Folder for data, logs and ports.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def stack() -> None:
    """Start and stop real Kafka, Cassandra and Valkey on this machine."""


@stack.command()
@data_option
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
    data: Path,
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
    console = Console(stderr=True)
    servers = RealStack(
        data,
        kafka_port=kafka_port,
        cassandra_port=cassandra_port,
        redis_port=redis_port,
        cassandra_heap_mb=cassandra_heap,
        progress=lambda line: console.print(line, highlight=False),
    )
    try:
        with console.status("Starting Kafka, Cassandra and Valkey"):
            environment = servers.up()
    except StackError as error:
        raise click.ClickException(str(error)) from error

    if env_file is not None:
        env_file.write_text("".join(f"{key}={value}\n" for key, value in environment.items()))
    click.echo(json.dumps(environment, indent=2) if as_json else _export_lines(environment))


@stack.command()
@data_option
@json_option
def down(*, data: Path, as_json: bool) -> None:
    """Stop the servers; topics and tables stay on disk."""
    try:
        with Console(stderr=True).status("Stopping the servers"):
            stopped = RealStack(data).down()
    except StackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps({"stopped": stopped}) if as_json else f"Stopped: {', '.join(stopped) or 'nothing ran'}")


@stack.command()
@data_option
@json_option
def status(*, data: Path, as_json: bool) -> None:
    """Show which servers run, where, and since when."""
    try:
        servers = RealStack(data).status()
    except StackError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([asdict(server) for server in servers], indent=2, default=str))
        return
    Console().print(_status_table(servers))


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
