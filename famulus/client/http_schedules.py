"""Schedules over the HTTP API of any worker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from famulus.engine.rows import encode
from famulus.engine.scheduling.book import Registered, ScheduledRun, ScheduleOutcome, ScheduleView
from famulus.engine.starting import Started, StartOutcome
from famulus.errors import ScheduleNotFoundError
from famulus.ids import RunId

_OUTSIDE_DEFINITION = frozenset({"next", "last_tick", "waiting", "runs", "problem", "links"})


class Ask(Protocol):
    """A request to the API; see `famulus.client.http.HttpTransport`."""

    async def __call__(
        self, method: str, *path: str, query: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Any: ...


class HttpSchedules:
    """Keeps `famulus.client.transport.ScheduleTransport`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def create(self, document: Mapping[str, Any], *, replace_old: bool = False) -> Registered:
        query = {"replace": "true"} if replace_old else None
        answer = await self._ask("POST", "schedules", query=query, body=encode(document))
        return Registered(outcome=ScheduleOutcome(answer["outcome"]), schedule=_view(answer["schedule"]))

    async def all(self) -> Sequence[ScheduleView]:
        return [_view(each) for each in (await self._ask("GET", "schedules"))["schedules"]]

    async def show(self, schedule_id: str) -> ScheduleView:
        return _view(await self._ask("GET", "schedules", _in_path(schedule_id)))

    async def pause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView:
        return await self._turn(schedule_id, "pause", by)

    async def unpause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView:
        return await self._turn(schedule_id, "unpause", by)

    async def delete(self, schedule_id: str) -> None:
        await self._ask("DELETE", "schedules", _in_path(schedule_id))

    async def trigger(self, schedule_id: str, *, at: str | float | None = None, by: str | None = None) -> Started:
        # The time is chosen here, so that the same run is meant if this has to be asked again.
        given = {"at": int(time.time()) if at is None else at, **({} if by is None else {"by": by})}
        answer = await self._ask("POST", "schedules", _in_path(schedule_id), "trigger", body=encode(given))
        run_id = RunId(answer["run"]["run_id"])
        return Started(run_id=run_id, outcome=StartOutcome(answer["outcome"]), summary=None)

    async def _turn(self, schedule_id: str, command: str, by: str | None) -> ScheduleView:
        body = encode({} if by is None else {"by": by})
        return _view((await self._ask("POST", "schedules", _in_path(schedule_id), command, body=body))["schedule"])


def _in_path(schedule_id: str) -> str:
    if not schedule_id or schedule_id in (".", "..") or quote(schedule_id, safe="") != schedule_id:
        raise ScheduleNotFoundError(schedule_id[:120])  # no schedule can be called so
    return schedule_id


def _view(answer: Mapping[str, Any]) -> ScheduleView:
    return ScheduleView(
        definition={name: value for name, value in answer.items() if name not in _OUTSIDE_DEFINITION},
        next_ticks=tuple(_tick(text) for text in answer["next"]),
        last_tick=None if answer["last_tick"] is None else _tick(answer["last_tick"]),
        waiting=None if answer["waiting"] is None else _tick(answer["waiting"]),
        runs=tuple(
            ScheduledRun(run_id=RunId(run["run_id"]), scheduled_at=_tick(run["scheduled_at"]), status=run["status"])
            for run in answer["runs"]
        ),
        problem=answer["problem"],
    )


def _tick(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
