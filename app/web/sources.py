"""What the views show, and where they get it from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import faust.web
from aiohttp import web

from famulus.engine.catalog import Catalog
from famulus.engine.dead_letters.desk import LetterDesk
from famulus.engine.explaining.explainer import Explainer
from famulus.engine.hooks import Hooks
from famulus.engine.reading import RunReader
from famulus.engine.scheduling.book import StartingBook
from famulus.engine.starting import RunStarter
from famulus.ports import BlueprintStore, RunStore
from famulus.settings import Settings

if TYPE_CHECKING:
    from ..worker import FamulusApp  # noqa: TID252  # in a wheel, these folders lie inside a package


class Window(Protocol):
    @property
    def start(self) -> float: ...

    @property
    def steps(self) -> int: ...

    @property
    def runs(self) -> int: ...


class Board(Protocol):
    def totals(self) -> Mapping[str, Mapping[str, int]]:
        """Blueprint id -> status -> number of runs."""
        ...


class Throughput(Protocol):
    def latest(self, *, count: int, now: float) -> Sequence[Window]:
        """The last windows, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """All but the tables exist from the start of the app on, and no request comes before that."""

    app: FamulusApp
    board: Board
    throughput: Throughput

    @property
    def settings(self) -> Settings:
        return self.app.settings

    @property
    def reader(self) -> RunReader:
        return self.app.reader

    @property
    def catalog(self) -> Catalog:
        return self.app.engine.catalog

    @property
    def runs(self) -> RunStore:
        return self.app.engine.ports.store

    @property
    def blueprints(self) -> BlueprintStore:
        return self.app.engine.ports.blueprints

    @property
    def starter(self) -> RunStarter:
        return RunStarter(
            self.runs, self.catalog, self.app.engine.ports.bus, max_record_bytes=self.settings.max_claimed_bytes
        )

    @property
    def schedules(self) -> StartingBook:
        return self.app.schedules

    @property
    def hooks(self) -> Hooks:
        ports = self.app.engine.ports
        return Hooks(
            ports.hooks,
            runs=self.runs,
            catalog=self.catalog,
            commands=self.starter.commands,
            secrets=self.app.secrets,
            now=self.now,
        )

    @property
    def letters(self) -> LetterDesk:
        return self.app.letters

    @property
    def explainer(self) -> Explainer:
        return Explainer(self.runs, self.catalog, self.reader, live=self.app.live, letters=self.letters)

    @property
    def partitions(self) -> range:
        """Of the jobs topic."""
        return range(self.app.engine.ports.bus.partitions)

    def now(self) -> float:
        return self.app.engine.ports.clock.now()


SOURCES: Final = web.AppKey("famulus.sources", Sources)


class View(faust.web.View):
    """A view of famulus; its errors are the business of the middleware."""

    @property
    def sources(self) -> Sources:
        return cast("Sources", cast("Any", self.web).web_app[SOURCES])

    async def on_request_error(self, _request: Any, exc: Exception) -> Any:
        raise exc
