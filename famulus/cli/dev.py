"""``famulus dev``: servers, workers and web views in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.cli.local import Local, Plan, running
from famulus.cli.stopping import stop_request
from famulus.cli.terminal import plain
from famulus.settings import Settings

LOOK_SECONDS: Final = 0.2
DEFAULT_DATA: Final = Path(".famulus")


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for everything that is kept. [.famulus]"
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web views. Default: 6066, or the next free one.")
@click.option("--nodes", metavar="MODULE,...", help="Modules with implementations. Default: FAMULUS_NODES.")
@click.option("--blueprints", metavar="PATH,...", help="Files or folders to register. Default: FAMULUS_BLUEPRINTS.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
def dev(*, data: Path | None, port: int | None, nodes: str | None, blueprints: str | None, workers: int) -> None:
    """Run broker, Valkey, SQLite, workers and web views, from Python alone, until Ctrl-C.

    Runs are kept in the data folder: those that were not finished go on at the next start.
    """
    given = {"nodes": nodes, "blueprints": blueprints, "data_dir": data}
    settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    if workers > settings.partitions:
        raise click.UsageError(f"--workers: there is work for {settings.partitions} at most (FAMULUS_PARTITIONS)")
    plan = Plan(
        data_dir=settings.data_dir, port=port, workers=workers, nodes=settings.nodes, blueprints=settings.blueprints
    )
    console = Console(stderr=True, highlight=False)

    def tell(line: str) -> None:
        console.print(Text(f"famulus dev: {line}", style="dim"))

    with stop_request() as stop:
        tell("starting")
        with running(plan, stop, tell=tell) as local:
            if local is None:
                return
            console.print(_welcome(local, settings))
            while not stop.wait(LOOK_SECONDS):
                local.workers.look_after(tell)
        tell("stopped")


def _welcome(local: Local, settings: Settings) -> Table:
    here = local.settings
    table = Table(
        title=f"famulus is ready after {local.ready_seconds:.1f} s", title_justify="left", box=None, show_header=False
    )
    table.add_row("Web views", Text(local.url, style="bold cyan"))
    table.add_row("API", f"{local.url}/api/v1/runs")
    table.add_row("Broker", f"{here.kafka_brokers}  (for any Kafka producer)")
    table.add_row("Data", Text(str(here.data_dir)))
    table.add_row("Nodes", Text(", ".join(settings.nodes) or "none: name your modules with --nodes"))
    table.add_row("Blueprints", Text(", ".join(settings.blueprints) or "those registered: famulus blueprint push FILE"))
    prefix = "" if settings.data_dir == DEFAULT_DATA else f"FAMULUS_DATA_DIR={plain(str(here.data_dir))} "
    table.add_row("Start a run", Text(f"{prefix}famulus run start BLUEPRINT --input '{{...}}' --wait"))
    table.add_row("Stop", "Ctrl-C")
    return table
