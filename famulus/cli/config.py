"""``famulus config``: every setting, its value, and where it comes from."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.cli.terminal import json_option, plain, print_json
from famulus.settings import Settings, explain


@click.group()
def config() -> None:
    """Show the settings and where they come from."""


@config.command()
@json_option
def show(*, as_json: bool) -> None:
    """Print variable, value and origin of every setting; secrets are masked."""
    settings = explain(Settings.load())
    if as_json:
        print_json([{"variable": name, "value": value, "origin": origin} for name, value, origin in settings])
        return
    table = Table("Variable", "Value", "From", box=None)
    for name, value, origin in settings:
        table.add_row(name, Text(plain(value)), origin, style="dim" if origin == "default" else "")
    Console().print(table)
