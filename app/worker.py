"""The worker: a Faust application that opens the ports before the first record and owns the engine.

Order of life: topics exist, stores are open, blueprints are registered, then the consumer subscribes. On SIGTERM the
intake admits no more, running steps get their time, offsets are committed, and only then are the stores closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
import warnings
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import faust
from aiohttp.web import SockSite
from faust.exceptions import AlreadyConfiguredWarning

from famulus import faultpoints
from famulus.adapters.faust.intake import Intake
from famulus.adapters.faust.serializers import refuse_pickle
from famulus.adapters.faust.transport import is_inherited, membership_of
from famulus.adapters.kafka.bus import KafkaBus
from famulus.adapters.kafka.topics import ensure_topics
from famulus.client.live import LiveServers
from famulus.connect import (
    Stores,
    claiming,
    open_joins,
    open_limits,
    open_progress,
    open_stores,
    read_blueprints,
    signatures,
    topic_specs,
)
from famulus.engine.backoff import Backoff
from famulus.engine.dead_letters.desk import LetterDesk, LetterKeeper
from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.engine.execution import ExecutionLimits
from famulus.engine.reading import RunReader
from famulus.engine.scheduling.book import StartingBook
from famulus.engine.starting import RunStarter
from famulus.errors import FamulusError, OwnershipLostError, RetryableError
from famulus.nodes import Registry
from famulus.ports import Bus, HookStore, Record, ScheduleStore, TokenStore
from famulus.security.secrets import Secrets
from famulus.security.signing import signed
from famulus.settings import Settings
from famulus.transports import kafka_options, plaintext

from .listening import is_fixed, take_port
from .live import WorkerLive
from .memory import collect_less_often
from .watchdog import Watchdog

log = logging.getLogger(__name__)

LETTERS_AT_ONCE: Final = 16
LETTERS_WINDOW: Final = 1000
START_PATIENCE_SECONDS: Final = 30.0
"""How long a server may be away when the worker starts, each; then the supervisor is to start the worker again."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FamulusApp(faust.App):
    """`engine`, `reader`, `schedules` and `bus` exist from the start of the app to its end."""

    settings: Settings
    registry: Registry
    secrets: Secrets
    intake: Intake
    item_intake: Intake
    letter_intake: Intake
    engine: Engine
    reader: RunReader
    schedules: StartingBook
    letters: LetterDesk
    live: LiveServers
    tokens: TokenStore
    bus: Bus
    watchdog: Watchdog

    def configure_worker(self, settings: Settings, registry: Registry, secrets: Secrets) -> None:
        """Called once by the factory, before anything is registered on the app."""
        self.settings = settings
        self.registry = registry
        self.secrets = secrets
        self.intake = Intake(self._handle, concurrency=settings.intake_records, window=settings.intake_window)
        self.item_intake = Intake(
            self._handle_item,
            concurrency=settings.intake_records,
            window=settings.intake_window,
            forgets=False,  # an outcome that is on the topic counts, whoever has had the partition of its item
        )
        self.letter_intake = Intake(self._keep_letter, concurrency=LETTERS_AT_ONCE, window=LETTERS_WINDOW)
        self._open = AsyncExitStack()
        self._likely_web_port = self.conf.web_port
        self.watchdog = Watchdog(self)
        self.on_partitions_assigned.connect(self._take_over)
        self.on_partitions_revoked.connect(self._hand_over)
        self.on_before_shutdown.connect(self._drain)
        self.timer(settings.reconcile_seconds, name="famulus.reconcile")(self._reconcile)

    @property
    def is_running(self) -> bool:
        """Everything is open: `engine`, `reader`, `schedules` and `bus` may be used."""
        return hasattr(self, "engine")

    @property
    def is_ready(self) -> bool:
        """The engine runs, and it is settled which partitions are its own: none, perhaps, where workers abound."""
        return self.is_running and self.engine.runs.is_assigned

    async def on_first_start(self) -> None:
        self.conf.datadir.parent.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Open everything that a record or a request may need. Servers that are starting too are waited for."""
        faultpoints.warn_if_armed()
        try:
            refuse_pickle(self)
            self._take_web_port()
            await self._open_ports()
        except FamulusError as error:
            # Raised as it is, it would be logged twice with the traces of all layers below. Its message says it all.
            log.error("the worker cannot start: %s", error, extra={"action": "start_failed"})  # noqa: TRY400
            raise SystemExit(1) from None
        self.watchdog.start()
        await super().on_start()

    async def on_started(self) -> None:
        await super().on_started()
        collect_less_often()

    def _take_web_port(self) -> None:
        if not self.conf.web_enabled:
            return
        offered = self.conf.web_port
        fixed = is_fixed(self.settings) or offered != self._likely_web_port
        taken = take_port(self.conf.web_bind, offered, fixed=fixed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AlreadyConfiguredWarning)  # nothing has used the port yet
            self.conf.web_port = taken.getsockname()[1]
        web: Any = self.web
        web._transport_handlers["tcp"] = lambda: SockSite(web._runner, taken)  # noqa: SLF001  # Faust has no other way

    async def _open_ports(self) -> None:
        settings = self.settings
        for sentence in plaintext(settings):
            log.warning("%s", sentence, extra={"action": "plaintext"})
        specs = topic_specs(settings)
        partitions = await ensure_topics(
            settings.kafka_brokers or "", specs, patience=START_PATIENCE_SECONDS, options=kafka_options(settings)
        )
        stores = await self._open_stores()
        joins = await self._open.enter_async_context(open_joins(settings))
        limits = await self._open.enter_async_context(open_limits(settings))
        progress = await self._open.enter_async_context(open_progress(settings))
        bus = KafkaBus(
            lambda: getattr(self.producer, "_producer", None),
            jobs=settings.jobs_topic,
            items=settings.items_topic,
            events=settings.events_topic,
            dead_letters=settings.dead_letters_topic,
            job_partitions=partitions[settings.jobs_topic],
        )
        self.bus = signed(bus, signatures(settings))
        self.engine = Engine(
            Ports(
                store=stores.runs,
                blueprints=stores.blueprints,
                epochs=stores.epochs,
                joins=joins,
                limits=limits,
                progress=progress,
                bus=claiming(self.bus, stores, self.settings),
                claims=stores.claims,
                clock=SystemClock(),
                hooks=stores.hooks,
                timers=stores.timers,
                schedules=stores.schedules,
            ),
            self.registry,
            replace(
                engine_options(settings),
                hook_secret=await self._hook_secret(stores.hooks),
                secrets=self.secrets,
                signatures=signatures(settings),
                public_url=settings.public_url or f"http://{self.conf.web_bind}:{self.conf.web_port}",
            ),
        )
        self.reader = RunReader(stores.runs, self.engine.catalog, progress)
        self._keeper = LetterKeeper(stores.letters)
        self.letters = LetterDesk(stores.letters, self.bus, self.engine.ports.clock.now)
        self.live = WorkerLive(settings, limits, self.engine)
        self._open.push_async_callback(self.live.close)
        self.tokens = stores.tokens
        self.schedules = schedule_book(self.engine, stores.schedules, settings)
        for blueprint in read_blueprints(settings):
            await self.engine.catalog.register(blueprint)

    async def _open_stores(self) -> Stores:
        backoff = Backoff(first=0.5)
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        while True:
            try:
                return await self._open.enter_async_context(open_stores(self.settings))
            except RetryableError as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("waiting for the store: %s", error, extra={"action": "store_awaited"})
                await asyncio.sleep(backoff.next())

    async def _hook_secret(self, hooks: HookStore) -> bytes:
        given = self.settings.hook_secret
        if given is not None:
            return given.get_secret_value().encode()
        return await hooks.secret(secrets.token_bytes(32))

    async def on_shutdown(self) -> None:
        await self.watchdog.stop()
        await super().on_shutdown()
        if self.is_running:
            await self.engine.stop(0)
        await self._open.aclose()

    def _handle(self, record: Record) -> Any:
        return self.engine.handle(record)

    def _handle_item(self, record: Record) -> Any:
        return self.engine.handle_item(replace(record, is_inherited=is_inherited(self, record)))

    def _keep_letter(self, record: Record) -> Any:
        return self._keeper.keep(record)

    async def _take_over(self, *sent: Any, **_signal: Any) -> None:
        _app, assigned = sent
        jobs = self.settings.jobs_topic
        self.engine.assigned(
            (tp.partition for tp in assigned if tp.topic == jobs), is_current=membership_of(self).is_current
        )

    async def _hand_over(self, *_: object, **_signal: Any) -> None:
        await self.engine.say_alive()
        self.engine.revoked()

    async def let_steps_end(self) -> None:
        """Start no more steps and wait for those that run, as long as the caller likes."""
        if not self.is_running:
            return
        self.engine.start_no_more()
        grace = self.settings.drain_seconds
        try:
            await asyncio.gather(self.engine.steps.attempts.wait(grace), self.engine.items.attempts.wait(grace))
        finally:
            await self.engine.say_alive()

    async def _drain(self, *_: object, **_signal: Any) -> None:
        if not self.is_running:
            return
        self.engine.start_no_more()
        grace = self.settings.drain_seconds
        steps, items = self.engine.steps.attempts, self.engine.items.attempts
        left, _ = await asyncio.gather(
            asyncio.gather(self.intake.drain(grace), self.item_intake.drain(grace), self.letter_intake.drain(grace)),
            asyncio.gather(steps.wait(grace), items.wait(grace)),
        )
        await self.engine.say_alive()
        log.info(
            "drained",
            extra={
                "action": "drained",
                "records_left": sum(left),
                "attempts_left": len(steps) + len(items),
            },
        )

    async def _reconcile(self) -> None:
        """A timer that raises would stop the whole application."""
        try:
            await self.engine.look_after()
        except OwnershipLostError:
            return
        except RetryableError as error:
            log.warning("open runs not looked after: %s", error, extra={"action": "reconcile_failed"})
        except Exception:
            log.exception("open runs not looked after", extra={"action": "reconcile_failed"})


def schedule_book(engine: Engine, schedules: ScheduleStore, settings: Settings) -> StartingBook:
    """The schedules for the views, on the ports of the engine."""
    ports = engine.ports
    return StartingBook(
        schedules,
        runs=ports.store,
        catalog=engine.catalog,
        starter=RunStarter(ports.store, engine.catalog, ports.bus, max_record_bytes=settings.max_claimed_bytes),
        now=ports.clock.now,
        max_record_bytes=settings.max_record_bytes,
    )


def engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        worker=settings.worker,
        max_record_bytes=settings.max_record_bytes,
        max_claimed_bytes=settings.max_claimed_bytes,
        park_missing_implementations=settings.missing_implementation == "park",
        taken_seconds=settings.taken_seconds,
        announce_seconds=settings.announce_seconds,
        starts_at_once=settings.starts,
        handover_seconds=settings.handover_seconds,
        crash_budget=settings.crash_budget,
        quarantine_seconds=settings.quarantine_seconds,
        max_subflow_depth=settings.max_subflow_depth,
        hook_token_seconds=settings.hook_token_seconds,
        steps_of_run=settings.max_steps,
        rounds_of_loop=settings.max_rounds,
        items_at_once=settings.items_at_once,
        items_of_batch=settings.max_items,
        max_nodes=settings.max_nodes,
        max_edges=settings.max_edges,
        item_patience_seconds=settings.item_patience_seconds,
        timer_in_memory_seconds=settings.timer_in_memory_seconds,
        timer_lookahead_seconds=settings.timer_lookahead_seconds,
        child_look_seconds=settings.child_look_seconds,
        timer_poll_seconds=settings.timer_poll_seconds,
        execution=ExecutionLimits(
            steps=settings.concurrency,
            steps_per_run=settings.concurrency_per_run,
            threads=settings.threads,
            processes=settings.processes or os.cpu_count() or 1,
            value_bytes=settings.max_value_bytes,
        ),
    )
