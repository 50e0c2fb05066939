"""``famulus schema``: the tables of the store."""

from __future__ import annotations

import asyncio

import click

from famulus.cli.terminal import json_option, print_json
from famulus.connect import migrate_schema
from famulus.settings import Settings


@click.group()
def schema() -> None:
    """Bring the tables of the store up to date."""


@schema.command()
@json_option
def migrate(*, as_json: bool) -> None:
    """Create what is missing in Cassandra, or in the SQLite file.

    Safe to repeat, and while workers of the version before run.
    """
    done = asyncio.run(migrate_schema(Settings.load()))
    if as_json:
        print_json({"done": done})
        return
    for line in done:
        click.echo(line)
