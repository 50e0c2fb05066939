"""``famulus demo``: a real workflow from nothing, watched from start to report."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

import famulus
from famulus.blueprint import ABSENT
from famulus.cli import watching
from famulus.cli.local import Local, Plan, running
from famulus.cli.stopping import StopRequest, stop_request
from famulus.cli.terminal import one_line, plain
from famulus.client.servers import open_bus
from famulus.connect import open_stores
from famulus.engine.catalog import Catalog
from famulus.engine.reading import RunReader, RunView
from famulus.engine.starting import RunStarter
from famulus.ids import BlueprintId

CHECKOUT: Final = Path(famulus.__file__).parents[1]
BLUEPRINT: Final = Path("examples/digest/blueprint.json")
NODES: Final = "examples.digest.nodes"
DATA: Final = Path(".famulus/demo")
KEEP_SECONDS: Final = 0.2


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--keep", is_flag=True, help="Leave everything running, to look around, until Ctrl-C.")
@click.option("--out", type=click.Path(path_type=Path), help=f"Where the report goes. Default: {DATA}/report.html")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web views. Default: 6066, or the next free one.")
def demo(*, folder: Path | None, keep: bool, out: Path | None, port: int | None) -> None:
    """Run examples/digest over FOLDER (default: this checkout): four analyses side by side, joined into a report."""
    if not (CHECKOUT / BLUEPRINT).is_file():
        raise click.ClickException(
            f"the demo needs {BLUEPRINT} of a checkout, and {CHECKOUT} is none: clone the repository, and run it there"
        )
    console = Console(highlight=False)
    folder = (folder or CHECKOUT).resolve()
    plan = Plan(
        data_dir=DATA,
        port=port,
        nodes=[NODES],
        blueprints=[str(CHECKOUT / BLUEPRINT)],
        module_path=CHECKOUT,
        log=DATA / "worker.log",
    )
    status = console.status("Starting broker, Valkey and worker")
    with stop_request() as stop, status, running(plan, stop, tell=status.update) as local:
        if local is None:
            raise click.Abort
        status.stop()
        console.print(
            f"Broker, Valkey and worker are ready after {local.ready_seconds:.1f} s: [bold cyan]{local.url}[/]\n"
        )
        view = asyncio.run(_digest(local, folder, (out or DATA / "report.html").resolve(), stop, console))
        _print_result(console, view, local, keep=keep)
        while keep and not stop.wait(KEEP_SECONDS):
            local.workers.look_after(console.print)
    raise click.exceptions.Exit(watching.exit_code(view.summary))


async def _digest(local: Local, folder: Path, out: Path, stop: StopRequest, console: Console) -> RunView:
    settings = local.settings
    async with open_stores(settings) as stores, open_bus(settings, client_id="famulus-cli") as bus:
        catalog = Catalog(stores.blueprints, time.time)
        reader = RunReader(stores.runs, catalog)
        started = await RunStarter(stores.runs, catalog, bus).start(
            BlueprintId("digest"),
            input={"folder": str(folder), "out": str(out)},
            run_id=f"demo-{uuid.uuid4().hex[:8]}",
            patience_seconds=watching.APPEAR_SECONDS,
        )
        watching.require_taken(started)
        return await watching.watch(reader, started.run_id, console=console, go_on=lambda: not stop)


def _print_result(console: Console, view: RunView, local: Local, *, keep: bool) -> None:
    console.print()
    result = _output(view)
    if result is None:
        console.print(Text(f"The run ended {view.summary.status}.", style="bold red"))
    else:
        table = Table(title=Text(f"What is in {plain(view.input['folder'])}"), title_justify="left", box=None)
        table.show_header = False
        for name, value in result["summary"].items():
            table.add_row(name, Text(one_line(value), style="bold"))
        table.add_row("report", Text(result["markdown"]))
        table.add_row("", Text(result["html"]))
        console.print(table)
    console.print()
    story = f"FAMULUS_DATA_DIR={DATA} famulus run show {plain(view.summary.run_id)}"
    console.print(f"The whole story:  {story}")
    if keep:
        console.print(f"In the browser:   [bold cyan]{local.url}/runs/{plain(view.summary.run_id)}[/]")
        console.print("Everything runs on until Ctrl-C.")
    else:
        console.print("To look around in the browser:  famulus demo --keep")


def _output(view: RunView) -> dict[str, Any] | None:
    """Of the branch that was taken."""
    outputs = (step.output for step in view.steps if step.node_id in {"report", "empty"} and step.output is not ABSENT)
    return next(filter(None, outputs), None)
