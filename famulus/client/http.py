"""The transport over the HTTP API of any worker. See docs/reference/http-api.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias, TypeVar

import aiohttp
import msgspec
from yarl import URL

from famulus.blueprint import ABSENT, Blueprint, encode_blueprint
from famulus.client.answers import error_of
from famulus.client.http_schedules import HttpSchedules
from famulus.client.transport import Asked
from famulus.engine.asking import Commanded, CommandOutcome
from famulus.engine.parents import Parent
from famulus.engine.reading import EventView, RunSummary, RunView, StepView
from famulus.engine.rows import encode
from famulus.engine.starting import StartOutcome
from famulus.errors import ApiUnavailableError, InputError
from famulus.ids import BlueprintId, RunId
from famulus.ports import StoredBlueprint

T = TypeVar("T")
Query: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]

API: Final = "api/v1"
ANSWER_SECONDS: Final = 30.0
"""Longer than a worker takes to give up (20 s), so that its reason is heard."""
PAGE: Final = 500
"""The most runs that one request is answered with."""


class HttpTransport:
    """Keeps `famulus.client.Transport`. The session belongs to the caller."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Raises `InputError` for what is no URL of a server."""
        try:
            root = URL(url)
        except (ValueError, TypeError) as error:
            raise InputError(f"{url!r} is no URL: {error}") from error
        if root.scheme not in ("http", "https") or not root.host:
            raise InputError(f"{url!r} is no URL of a server, expected something like http://127.0.0.1:6066")
        self._session = session
        self._root = root
        self.schedules = HttpSchedules(self._ask)

    async def start(
        self,
        blueprint_id: BlueprintId,
        *,
        version: str | None,
        input: dict[str, Any],
        run_id: RunId,
        start_at: float | str | None,
    ) -> StartOutcome:
        body = {
            "blueprint_id": blueprint_id,
            "version": version,
            "input": input,
            "run_id": run_id,
            "start_at": start_at,
        }
        answer = await self._ask("POST", "runs", body=encode(body))
        return StartOutcome(answer["outcome"])

    async def fork(
        self, from_run: RunId, from_step: str, *, context: Mapping[str, Any], run_id: RunId, by: str
    ) -> StartOutcome:
        body = {"from_step": from_step, "context": context, "run_id": run_id, "by": by}
        answer = await self._ask("POST", "runs", from_run, "fork", body=encode(body))
        return StartOutcome(answer["outcome"])

    async def command(self, run_id: RunId, command: str, given: Mapping[str, Any], *, asked: Asked) -> Commanded:
        about = {"by": asked.by, "reason": asked.reason, "command_id": asked.command_id}
        body = encode({**given, **{name: value for name, value in about.items() if value is not None}})
        answer = await self._ask("POST", "runs", run_id, command, body=body)
        return Commanded(
            run=msgspec.convert(answer["run"], RunSummary),
            command_id=answer["command_id"],
            outcome=CommandOutcome(answer["outcome"]),
        )

    async def cancel(self, run_id: RunId, *, by: str, reason: str, grace_seconds: float) -> RunSummary:
        body = encode({"by": by, "reason": reason, "grace_seconds": grace_seconds})
        answer = await self._ask("POST", "runs", run_id, "cancel", body=body)
        return msgspec.convert(answer["run"], RunSummary)

    async def values(self, run_id: RunId, keys: Sequence[str]) -> Mapping[str, Any]:
        query = [("key", key) for key in keys]
        values: Mapping[str, Any] = (await self._ask("GET", "runs", run_id, "context", query=query))["context"]
        return values

    async def steps(self, run_id: RunId, *, after: int, limit: int) -> Sequence[tuple[int, StepView]]:
        query = {"after": str(after), "limit": str(limit)}
        answer = await self._ask("GET", "runs", run_id, "steps", query=query)
        return [(step["seq"], _step(step)) for step in answer["steps"]]

    async def summary(self, run_id: RunId) -> RunSummary:
        return msgspec.convert(await self._ask("GET", "runs", run_id, "summary"), RunSummary)

    async def view(self, run_id: RunId) -> RunView:
        answer = await self._ask("GET", "runs", run_id)
        return RunView(
            summary=msgspec.convert(answer, RunSummary),
            digest=answer["digest"],
            partition=answer["partition"],
            input=answer["input"],
            steps=tuple(_step(step) for step in answer["steps"]),
            context=answer["context"],
            parent=msgspec.convert(answer.get("parent"), Parent | None),
            ending=answer.get("ending"),
            starts_at=answer.get("starts_at"),
        )

    async def events(self, run_id: RunId, *, after: int, limit: int) -> Sequence[EventView]:
        query = {"after": str(after), "limit": str(limit)}
        answer = await self._ask("GET", "runs", run_id, "events", query=query)
        return [_event(each) for each in answer["events"]]

    async def recent(
        self, *, limit: int, before: float | None, status: str | None, blueprint_id: str | None
    ) -> Sequence[RunSummary]:
        found: list[RunSummary] = []
        while len(found) < limit:
            asked = min(PAGE, limit - len(found))
            query = {"limit": asked, "before": before, "status": status, "blueprint": blueprint_id}
            answer = await self._ask("GET", "runs", query={k: str(v) for k, v in query.items() if v is not None})
            page = msgspec.convert(answer["runs"], list[RunSummary])
            found += page
            if len(page) < asked:
                break
            before = page[-1].created_at
        return found

    async def push(self, blueprint: Blueprint) -> StoredBlueprint:
        body = encode_blueprint(blueprint)
        entry = (await self._ask("POST", "blueprints", body=body))["blueprint"]
        return StoredBlueprint(
            blueprint_id=entry["id"],
            version=entry["version"],
            digest=entry["digest"],
            body=body,
            registered_at=entry["registered_at"],
        )

    async def _ask(self, method: str, *path: str, query: Query | None = None, body: bytes | None = None) -> Any:
        """The JSON of the answer. Raises the error that the answer stands for, `ApiUnavailableError` without one."""
        url = self._root.joinpath(API, *path)
        try:
            async with self._session.request(
                method,
                url,
                params=query,
                data=body,
                headers=None if body is None else {"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,  # a start that is redirected would become a question
            ) as response:
                status, content = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailableError(
                f"famulus at {self._root} does not answer ({error!r}): check the address and that a worker runs there"
            ) from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise error_of(status, content, asked=f"{method} {url}")
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise ApiUnavailableError(f"{url} answered without JSON: is this the address of a worker?") from error


def _step(answer: Mapping[str, Any]) -> StepView:
    return msgspec.convert({"output": ABSENT, **answer}, StepView)


def _event(answer: Mapping[str, Any]) -> EventView:
    data = {name: value for name, value in answer.items() if name not in ("seq", "type", "at")}
    return EventView(seq=answer["seq"], type=answer["type"], at=answer["at"], data=data)
