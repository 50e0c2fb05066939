"""The views of a worker without its servers: the real application and engine on memory ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from support.world import World, blueprint

import agents
import tables
from app.factory import create_app
from app.web.sources import SOURCES, Sources
from app.worker import FamulusApp, schedule_book
from famulus.engine.dead_letters.desk import LetterDesk
from famulus.settings import Settings
from tables.throughput import Window

BODY_LIMIT = 20_000
NASTY_TEXT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
NASTY = NASTY_TEXT + "</pre><svg onload=alert(3)>\x1b[31m\u202e"
"""Markup, an escape sequence of terminals, and what turns the direction of text."""


def fail() -> None:
    raise ValueError(NASTY)


def nasty(ctx: Any) -> dict[str, str]:
    ctx.set(f"key {NASTY_TEXT}", NASTY)
    return {"output": NASTY, "long": "x" * 5000}


async def never() -> None:
    await asyncio.Event().wait()


FUNCTIONS = {"t.echo": lambda: {"ok": True}, "t.fail": fail, "t.nasty": nasty, "t.never": never}


FORM = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "integer", "title": "How much"},
        "kind": {"enum": ["gift", "loan"]},
        "sure": {"type": "boolean"},
        "note": {"type": "string"},
        "more": {"type": "object"},
    },
}
BLUEPRINTS = (
    blueprint(
        "waiting",
        {"ask": {"uses": "wait", "params": {"signal": "answer", "timeout": "1h", "form": FORM}}, "then": "t.echo"},
        ("ask", "then"),
    ),
    blueprint("resumed", {"hold": {"uses": "wait"}}),
    blueprint("hooked", {"hook": {"uses": "webhook"}, "form": {"uses": "webhook", "params": {"form": FORM}}}),
    blueprint("sleeping", {"nap": {"uses": "sleep", "params": {"duration": "1h"}}}),
    blueprint("items", {"all": {"uses": "map", "inputs": "n", "params": {"uses": "t.echo"}}}),
    blueprint("calling", {"sub": {"uses": "subflow", "params": {"blueprintId": "resumed"}}}),
    blueprint("chain", {"a": "t.echo", "b": "t.echo"}, ("a", "b")),
    blueprint("failing", {"a": "t.fail"}),
    blueprint("endless", {"a": "t.never"}),
    blueprint(NASTY_TEXT, {NASTY_TEXT: "t.nasty", "b": "t.fail"}),
)


class FixedBoard:
    def totals(self) -> Mapping[str, Mapping[str, int]]:
        return {"order": {"running": 3, "completed": 40, "failed": 2, "cancelled": 0}}


class FixedThroughput:
    def latest(self, *, count: int, now: float) -> list[Window]:
        return [Window(now - now % 10 - 10 * index, 25, 5) for index in reversed(range(count))]


@dataclass
class Site:
    world: World
    app: FamulusApp
    client: TestClient[Any, Any]

    async def json(self, path: str, *, status: int = 200) -> Any:
        response = await self.client.get(path)
        assert response.status == status, await response.text()
        return await response.json()

    async def page(self, path: str, *, status: int = 200) -> str:
        response = await self.client.get(path)
        text = await response.text()
        assert response.status == status, text
        assert response.content_type == "text/html"
        return text

    async def post(self, path: str, body: Any = None, **options: Any) -> ClientResponse:
        return await self.client.post(path, json=body, **options)

    async def start(self, blueprint_id: str, run_id: str, **fields: Any) -> None:
        response = await self.post("/api/v1/runs", {"blueprint_id": blueprint_id, "run_id": run_id, **fields})
        assert response.status == 201, await response.text()


@asynccontextmanager
async def open_site(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    known = Settings(
        **{
            "kafka_brokers": "127.0.0.1:1",
            "data_dir": folder,
            "web_max_body_bytes": BODY_LIMIT,
            "max_record_bytes": BODY_LIMIT // 2,
            **settings,
        }
    )
    async with World(FUNCTIONS) as world:
        app = create_app(known, agents=agents, tables=tables, registry=world.registry)
        engine = world.engines[0]
        schedules = schedule_book(engine, world.schedules, known)
        letters = LetterDesk(world.letters, world.bus, engine.ports.clock.now)
        vars(app).update(
            engine=engine,
            bus=world.bus,
            reader=world.reader,
            schedules=schedules,
            letters=letters,
            live=None,
            tokens=world.tokens,
        )
        web: Any = app.web
        web.web_app[SOURCES] = Sources(app, FixedBoard(), FixedThroughput())
        web.init_server()
        for document in BLUEPRINTS:
            await world.push(document)
        async with TestClient(TestServer(web.web_app)) as client:
            yield Site(world, app, client)
