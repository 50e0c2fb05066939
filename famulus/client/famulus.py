"""The door: `Famulus`, over topics and store or over HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp

from famulus.blueprint import Blueprint, check_blueprint, encode_blueprint
from famulus.client.direct import DirectTransport
from famulus.client.http import HttpTransport
from famulus.client.run import Run
from famulus.client.schedules import Schedules
from famulus.client.servers import open_bus, reachable
from famulus.client.transport import Transport
from famulus.connect import open_stores, run_starter
from famulus.engine.catalog import Catalog
from famulus.engine.reading import RunReader, RunSummary
from famulus.engine.scheduling.book import StartingBook
from famulus.errors import InputError
from famulus.flow.status import RunStatus
from famulus.ids import RUN_ID_PATTERN, BlueprintId, RunId, is_run_id
from famulus.ports import StoredBlueprint
from famulus.settings import Settings


class Famulus:
    """A client of an installation. Make one with `connect` or `http`, and keep it: it may be used by many tasks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.schedules = Schedules(transport)

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings | None = None) -> AsyncIterator[Famulus]:
        """Talk to broker and store, those of the settings or of the environment; with none set, the embedded ones.

        A run may be started while no worker is up. Raises `SettingsError`, and a `RetryableError` if a server is away.
        """
        known = reachable(Settings.load() if settings is None else settings)
        async with open_stores(known) as stores, open_bus(known, client_id="famulus-client") as bus:
            catalog = Catalog(stores.blueprints, time.time, max_nodes=known.max_nodes, max_edges=known.max_edges)
            starter = run_starter(bus, stores, catalog, known)
            schedules = StartingBook(
                stores.schedules,
                runs=stores.runs,
                catalog=catalog,
                starter=starter,
                now=time.time,
                max_record_bytes=known.max_record_bytes,
            )
            yield cls(DirectTransport(RunReader(stores.runs, catalog), starter, catalog, schedules=schedules))

    @classmethod
    @asynccontextmanager
    async def http(
        cls, url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Famulus]:
        """Talk to any worker at its address, such as http://127.0.0.1:6066; headers are for a proxy that asks for them.

        The token is one of `famulus token create`, where workers ask for it.

        Nothing is sent yet: a worker that is away is an `ApiUnavailableError` of the first call.
        """
        known = {**(headers or {}), **({} if token is None else {"Authorization": f"Bearer {token}"})}
        async with aiohttp.ClientSession(headers=known) as session:
            yield cls(HttpTransport(session, url))

    async def start(
        self,
        blueprint_id: str,
        input: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        run_id: str | None = None,
        start_at: datetime | float | None = None,
    ) -> Run:
        """Start a run of a registered blueprint; without an id it gets a new one.

        With a time, as seconds since the Unix epoch or with its offset, it exists at once and begins then.

        With the same id, blueprint and input again nothing new is started, so a start of unknown outcome is safe to
        repeat. `Run.outcome` says what it was: ``started``, ``existing``, or ``accepted`` where no worker has taken it
        yet. Raises `BlueprintNotFoundError`, `RunConflictError`, `InputError`, `BadRecordError`.
        """
        # Chosen here, so that the id is known before anything is sent.
        known = _run_id(uuid.uuid4().hex if run_id is None else run_id)
        if not blueprint_id:
            raise InputError("the blueprint id is empty: name the blueprint to start")
        outcome = await self._transport.start(
            BlueprintId(blueprint_id),
            version=version or None,
            input=dict(input or {}),
            run_id=known,
            start_at=_time(start_at),
        )
        return Run(known, self._transport, outcome)

    def run(self, run_id: str) -> Run:
        """A handle of a run that somebody has started; nothing is asked yet. Raises `InputError` for no id."""
        return Run(_run_id(run_id), self._transport)

    async def list(
        self,
        *,
        status: str | None = None,
        blueprint_id: str | None = None,
        limit: int = 50,
        before: float | None = None,
    ) -> Sequence[RunSummary]:
        """Runs, newest first. For older ones, give the `created_at` of the last one as ``before``."""
        if status is not None and status not in tuple(RunStatus):
            raise InputError(f"status is {status!r:.80}, expected one of {', '.join(RunStatus)}")
        return await self._transport.recent(
            limit=limit, before=before, status=status, blueprint_id=blueprint_id or None
        )

    async def push(self, blueprint: Blueprint | Mapping[str, Any] | str | bytes) -> StoredBlueprint:
        """Register a blueprint, JSON or a value; the same one again changes nothing.

        Raises `BlueprintError` with every problem, the linter's too, and `BlueprintConflictError` if its version has
        another content already.
        """
        document = encode_blueprint(blueprint) if isinstance(blueprint, Blueprint) else blueprint
        return await self._transport.push(check_blueprint(document))


def _time(given: datetime | float | None) -> float | None:
    if not isinstance(given, datetime):
        return given
    if given.tzinfo is None:
        raise InputError(f"start_at is {given.isoformat()} without an offset: give it a tzinfo")
    return given.timestamp()


def _run_id(text: str) -> RunId:
    if not is_run_id(text):
        raise InputError(f"{text[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}")
    return RunId(text)
