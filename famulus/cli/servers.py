"""The store that a command looks into. The servers that it sends to are those of `famulus.client.servers`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from famulus.connect import Stores, open_stores
from famulus.settings import Settings


@asynccontextmanager
async def open_existing_stores(settings: Settings) -> AsyncIterator[Stores]:
    """As `open_stores`, but looking does not make a SQLite file where there is none."""
    if not settings.cassandra_contact_points and not settings.database_path.exists():
        raise click.ClickException(
            f"there is no database {settings.database_path}: nothing has run here yet (famulus dev), "
            "or FAMULUS_DATA_DIR or CASSANDRA_CONTACT_POINTS has to say where"
        )
    async with open_stores(settings) as stores:
        yield stores
