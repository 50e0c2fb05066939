"""Joins as one hash each in Redis or Valkey, changed by one script (`arrive.lua`).

What one turn of the loop asks travels together: a pipeline is under way, the next one gathers. Nothing here is
precious (see `famulus.ports.Joins`), so timeouts are short, and a server that is away is not waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoScriptError

from famulus.adapters.redis.circuit import FIRST_PROBE_SECONDS
from famulus.adapters.redis.server import SERVER_ERRORS, TIMEOUT_SECONDS, Server, script
from famulus.errors import JoinsUnavailableError
from famulus.flow.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.ids import NodeId, RunId, StepId
    from famulus.ports import JoinKey

log = logging.getLogger(__name__)

TTL_SECONDS: Final = 7 * 24 * 3600.0
"""How long a join outlives its last arrival. One that expired too early is refilled from rows."""
PIPELINE_LIMIT: Final = 500
"""Scripts in one pipeline: bounds how long others wait for the server."""

_ADD: Final = "add"
_REPLACE: Final = "replace"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call of the script that someone waits for."""

    arguments: tuple[str, ...]
    answer: asyncio.Future[Arrivals]


class RedisJoins:
    """Keeps `famulus.ports.Joins`. Made without touching the server; use it on one event loop, and close it."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        ttl_seconds: float = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        first_probe_seconds: float = FIRST_PROBE_SECONDS,
    ) -> None:
        self._namespace = namespace
        self._ttl_ms = str(int(ttl_seconds * 1000))
        self._server = Server(
            url,
            timeout_seconds=timeout_seconds,
            first_probe_seconds=first_probe_seconds,
            went=_say_that_it_went,
            came_back=_say_that_it_came_back,
        )
        self._script = script("arrive.lua")
        self._script_digest = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._asked: list[_Asked] = []
        self._asking: asyncio.Task[None] | None = None

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        return await self._ask(key, _ADD, arrivals)

    async def refill(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> None:
        await self._ask(key, _REPLACE, arrivals)

    async def forget(self, run_id: RunId, step_ids: Sequence[StepId]) -> None:
        if self._server.is_away or not step_ids:
            return
        try:
            await self._server.redis.unlink(*(self._name(run_id, step_id) for step_id in step_ids))
        except SERVER_ERRORS as error:
            self._server.give_up(error)

    async def close(self) -> None:
        """Let what is under way end, and close the connections."""
        if self._asking is not None:
            await self._asking
        await self._server.close()

    # -- one pipeline at a time ------------------------------------------------------------------------------------

    async def _ask(self, key: JoinKey, mode: str, arrivals: Mapping[NodeId, str]) -> Arrivals:
        if self._server.is_away:
            raise JoinsUnavailableError(
                "Redis is away; joins are counted from rows until it answers again",
                retry_after=self._server.retry_after,
            )
        pairs: list[str] = [text for node_id, kind in arrivals.items() for text in (node_id, kind)]
        arguments = (self._name(key.run_id, key.step_id), self._ttl_ms, mode, *pairs)
        asked = _Asked(arguments, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await asked.answer

    async def _ask_all(self) -> None:
        """Send what waits, a pipeline after the other, until nothing does."""
        try:
            while self._asked:
                batch, self._asked = self._asked[:PIPELINE_LIMIT], self._asked[PIPELINE_LIMIT:]
                await self._ask_batch(batch)
        finally:
            self._asking = None

    async def _ask_batch(self, batch: list[_Asked]) -> None:
        try:
            answers = await self._call_script(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be answered
            self._server.give_up(error)
            # Those that came meanwhile would only wait for the same failure.
            batch, self._asked = batch + self._asked, []
            answers = [error] * len(batch)
        for asked, answer in zip(batch, answers, strict=True):
            _settle(asked.answer, answer)

    async def _call_script(self, batch: list[_Asked]) -> list[Any]:
        """The answer or the error for each call, in order; raises when the server did not answer at all."""
        answers = await self._pipeline(batch)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # The server is new, or was restarted or flushed. The script is safe to repeat.
            await self._server.redis.script_load(self._script)
            again = await self._pipeline([batch[at] for at in unknown])
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        return answers

    async def _pipeline(self, batch: list[_Asked]) -> list[Any]:
        # Not `register_script`: in a pipeline it asks each time, with a round trip, whether the server has the script.
        async with self._server.redis.pipeline(transaction=False) as pipeline:
            for asked in batch:
                pipeline.evalsha(self._script_digest, 1, *asked.arguments)
            return await pipeline.execute(raise_on_error=False)

    def _name(self, run_id: RunId, step_id: StepId) -> str:
        # The braces make the run the hash tag: in a cluster, all joins of a run lie on one server.
        return f"famulus:{self._namespace}:{{{run_id}}}:join:{step_id}"


def _say_that_it_went(error: Exception) -> None:
    log.warning("Redis is away, joins are counted from rows: %s", error, extra={"action": "joins_unavailable"})


def _say_that_it_came_back() -> None:
    log.info("Redis answers again", extra={"action": "joins_available"})


def _settle(future: asyncio.Future[Arrivals], answer: Any) -> None:
    if future.done():
        return  # cancelled by its caller
    if isinstance(answer, Exception):
        error = JoinsUnavailableError(f"Redis did not count the join: {answer}")
        error.__cause__ = answer
        future.set_exception(error)
        return
    fired, dead, failed = (int(count or 0) for count in answer)
    future.set_result(Arrivals(fired=fired, dead=dead, failed=failed))
