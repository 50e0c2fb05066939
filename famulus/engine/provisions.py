"""What providers have given: once for the worker, or for one attempt."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from famulus.engine.calling import Caller
from famulus.nodes import Registry
from famulus.nodes.context import NodeInfo
from famulus.nodes.providers import Provider, is_generator
from famulus.nodes.signature import code_of

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS: Final = 10.0
"""A worker that stops does not wait longer for a provider."""


class Provisions:
    """Of one worker. What lives as long as it does is made when it is first needed."""

    def __init__(self, registry: Registry, caller: Caller) -> None:
        self._registry = registry
        self._caller = caller
        self._held: dict[str, _Held] = {}

    async def fill(self, needs: Mapping[str, Provider], ctx: NodeInfo, stack: AsyncExitStack) -> dict[str, Any]:
        """A value for each parameter. What is made for the attempt alone is cleaned up with the stack."""
        own: dict[str, Any] = {}
        return {name: await self._value(provider, ctx, stack, own) for name, provider in needs.items()}

    async def close(self) -> None:
        """Clean up, the youngest first. An error of that is logged: the others are cleaned up all the same."""
        while self._held:
            _, held = self._held.popitem()
            await held.close()

    async def _value(self, provider: Provider, ctx: NodeInfo, stack: AsyncExitStack, own: dict[str, Any]) -> Any:
        if provider.scope == "worker":
            return await self._of_worker(provider)
        if provider.name not in own:
            needs = self._registry.needs_of(provider)
            given = {name: await self._value(needed, ctx, stack, own) for name, needed in needs.items()}
            arguments = provider.signature.arguments(ctx, given)
            own[provider.name] = await self._made(provider, arguments, stack)
        return own[provider.name]

    async def _of_worker(self, provider: Provider) -> Any:
        held = self._held.get(provider.name)
        if held is None or held.has_failed:
            # In a task of its own: it goes on if the attempt that needed it first is cancelled.
            held = self._held[provider.name] = _Held(provider.name, partial(self._made_for_worker, provider))
        return await held.value()

    async def _made_for_worker(self, provider: Provider, stack: AsyncExitStack) -> Any:
        given = {}
        for name, needed in self._registry.needs_of(provider).items():
            given[name] = await self._of_worker(needed)
        # What it needs is older now than the provider itself, and is cleaned up after it.
        mine = self._held.pop(provider.name, None)
        if mine is not None:
            self._held[provider.name] = mine
        return await self._made(provider, given, stack)

    async def _made(self, provider: Provider, arguments: dict[str, Any], stack: AsyncExitStack) -> Any:
        function = provider.function
        if not is_generator(function):
            return await self._caller.call(function, **arguments)
        if inspect.isasyncgenfunction(code_of(function)):
            return await self._entered_async(provider, arguments, stack)
        generator = await self._caller.call(function, **arguments)
        value = await self._caller.in_thread(partial(_first, generator, provider.name))
        stack.push_async_exit(partial(self._leave_thread, generator))
        return value

    async def _entered_async(self, provider: Provider, arguments: dict[str, Any], stack: AsyncExitStack) -> Any:
        generator = provider.function(**arguments)
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise RuntimeError(f"provider {provider.name!r} has yielded nothing") from None

        async def leave(_type: Any, error: BaseException | None, _trace: Any) -> None:
            try:
                await (anext(generator) if error is None else generator.athrow(error))
            except StopAsyncIteration:
                return
            except BaseException as raised:
                if raised is error:
                    return
                raise
            await generator.aclose()

        stack.push_async_exit(leave)
        return value

    async def _leave_thread(self, generator: Any, _type: Any, error: BaseException | None, _trace: Any) -> None:
        await self._caller.in_thread(partial(_finish, generator, error))


class _Held:
    """A value that lives as long as the worker: made and cleaned up in one task, as some libraries demand."""

    def __init__(self, name: str, make: Callable[[AsyncExitStack], Any]) -> None:
        self._name = name
        self._make = make
        self._is_over = asyncio.Event()
        self._made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold())

    @property
    def has_failed(self) -> bool:
        return self._made.done() and (self._made.cancelled() or self._made.exception() is not None)

    async def value(self) -> Any:
        return await asyncio.shield(self._made)

    async def close(self) -> None:
        self._is_over.set()
        if not self._made.done():
            self._task.cancel()
        _, late = await asyncio.wait([self._task], timeout=CLEAN_UP_SECONDS)
        for task in late:
            task.cancel()
            log.error(
                "provider %s took longer than %g s to clean up",
                self._name,
                CLEAN_UP_SECONDS,
                extra={"action": "provider_not_closed", "provider": self._name},
            )
            return
        if not self._task.cancelled() and self._task.exception() is not None:
            log.error(
                "provider %s has not cleaned up",
                self._name,
                exc_info=self._task.exception(),
                extra={"action": "provider_not_closed", "provider": self._name},
            )

    async def _hold(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                value = await self._make(stack)
            except BaseException as error:
                if not self._made.done():
                    self._made.set_exception(error if _can_be_carried(error) else RuntimeError(repr(error)))
                    self._made.exception()  # for everyone who waits, and for nobody if nobody does
                if isinstance(error, asyncio.CancelledError):
                    raise
                return
            if not self._made.done():
                self._made.set_result(value)
            await self._is_over.wait()


def _can_be_carried(error: BaseException) -> bool:
    """Whether a future takes it: `StopIteration` it does not."""
    return isinstance(error, Exception) and not isinstance(error, StopIteration)


def _first(generator: Any, name: str) -> Any:
    try:
        return next(generator)
    except StopIteration:
        raise RuntimeError(f"provider {name!r} has yielded nothing") from None


def _finish(generator: Any, error: BaseException | None) -> None:
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    except BaseException as raised:
        if raised is error:
            return
        raise
    generator.close()
