"""CPU-bound nodes: each attempt in one of a few child processes, which are started when they are first needed.

A child does one call at a time and is told so over a pipe. So one that dies takes one attempt with it, and one whose
attempt is out of time is killed. What goes to and fro is plain JSON data; the code is found by its name.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from typing import Any

from famulus.blueprint.values import ABSENT
from famulus.engine.calling import caught
from famulus.engine.failures import NEVER_RETRIED, describe, told_as
from famulus.engine.rows import settled
from famulus.errors import InputError, NodeProcessError, NonRetryableError, OutputError
from famulus.flow.facts import ErrorInfo
from famulus.ids import BlueprintId, NodeId, RunId, StepId
from famulus.nodes import Result, ThreadContext
from famulus.nodes.context import Line
from famulus.nodes.signature import Signature, read_signature
from famulus.security.redaction import RedactingFormatter, Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCall:
    """What a child is to do."""

    module: str
    qualname: str
    run_id: RunId
    blueprint_id: BlueprintId
    node_id: NodeId
    step_id: StepId
    attempt: int
    input: Any
    params: Mapping[str, Any]
    reads: Mapping[str, Any]
    """The keys of the context that it may read; `None` for what is not there is told by `absent`."""
    absent: frozenset[str]
    value_bytes: int
    redacted: tuple[str, ...] = field(default=(), repr=False)
    """Secrets, which what it logs must not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    output: Any = None
    action: Any = None
    written: Mapping[str, Any] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    error: bytes | None = None
    """Pickled, where it can be."""
    told: ErrorInfo | None = None
    """Of the error."""
    retryable: bool = True


class Processes:
    """So many child processes at most."""

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)
        self._size = size
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, call: ProcessCall, *, line: Line, changes: dict[str, Any]) -> Result:
        """Carry out the call; what it wrote to the context is put into `changes`, also if it failed.

        Raises what the code raised, and `NodeProcessError` if its process died. When it is cancelled, the process is
        killed.
        """
        async with self._free:
            child = await self._child()
            self._busy.add(child)
            try:
                ended, error = await self._in_thread(partial(child.carry_out, call, line))
            except BaseException:
                child.kill()
                raise
            finally:
                self._busy.discard(child)
            if error is not None:
                child.kill()
                raise error
            self._idle.append(child)
        changes.update(ended.written)
        changes.update(dict.fromkeys(ended.deleted, ABSENT))
        if ended.told is not None:
            raise _error_of(ended)
        return Result(ended.output, ended.action)

    def close(self) -> None:
        """Kill them all; what still runs in one is not recorded."""
        for child in (*self._idle, *self._busy):
            child.kill()
        self._idle.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            child.kill()
        child, error = await self._in_thread(_Child)
        if error is not None:
            raise NodeProcessError(f"no process could be started for a CPU-bound node: {error!r}") from error
        started: _Child = child
        return started

    async def _in_thread(self, call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="famulus-process")
        return await asyncio.get_running_loop().run_in_executor(self._threads, caught, call)


class _Child:
    def __init__(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, inside = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(inside,), daemon=True, name="famulus-cpu-bound")
        self._process.start()
        inside.close()  # or its end would not be noticed

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def carry_out(self, call: ProcessCall, line: Line) -> _Ended:
        """In a thread. Raises `NodeProcessError` when the process dies."""
        try:
            self._pipe.send(call)
            while True:
                match self._pipe.recv():
                    case _Ended() as ended:
                        return ended
                    case ("progress", fraction, text):
                        line.progress(fraction, text)
                    case ("chunk", chunk):
                        line.emit(chunk)
                    case _:
                        line.beat()
        except (EOFError, OSError) as error:
            self._process.join(1)
            raise NodeProcessError(
                f"the process of the node died (exit code {self._process.exitcode}): killed, out of memory or crashed"
            ) from error

    def kill(self) -> None:
        self._process.kill()


class _PipeLine:
    """Keeps `famulus.nodes.context.Line` inside a child."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def beat(self) -> None:
        self._pipe.send(("beat",))

    def progress(self, fraction: float, text: str) -> None:
        self._pipe.send(("progress", fraction, text))

    def emit(self, chunk: Any) -> None:
        self._pipe.send(("chunk", settled(chunk, max_bytes=_ANY_SIZE)))


_ANY_SIZE = 2**31


def _serve(pipe: Connection) -> None:
    """The life of a child: one call after the other, until its worker is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the worker says when it is over
    redactor = Redactor()
    # Nobody has set up logging here: warnings of the node go to standard error by this handler.
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(RedactingFormatter(logging.Formatter(), redactor))
    while True:
        try:
            call = pipe.recv()
            for value in call.redacted:
                redactor.register(value)
            pipe.send(_carried_out(call, _PipeLine(pipe)))
        except (EOFError, OSError):
            return


def _carried_out(call: ProcessCall, line: Line) -> _Ended:
    changes: dict[str, Any] = {}
    ended, error = caught(partial(_called, call, line, changes))
    kept, unstorable = caught(partial(_kept, changes, call.value_bytes))
    written, deleted = kept if unstorable is None else ({}, ())
    error = error or unstorable
    if error is None:
        return _Ended(output=ended.output, action=ended.action, written=written, deleted=deleted)
    return _Ended(
        written=written,
        deleted=deleted,
        error=_pickled(error),
        told=describe(error),
        retryable=not isinstance(error, NEVER_RETRIED),
    )


def _called(call: ProcessCall, line: Line, changes: dict[str, Any]) -> Result:
    function, signature = _code(call.module, call.qualname)
    ctx = ThreadContext(
        run_id=call.run_id,
        blueprint_id=call.blueprint_id,
        node_id=call.node_id,
        step_id=call.step_id,
        attempt=call.attempt,
        input=call.input,
        params=call.params,
        read=partial(_read, call),
        changes=changes,
        line=line,
    )
    returned = function(**signature.arguments(ctx))
    result = returned if isinstance(returned, Result) else Result(returned)
    if result.action is not None and not isinstance(result.action, str):
        raise OutputError(f"the action is {result.action!r:.100}, expected a text that is not empty")
    return Result(settled(result.output, max_bytes=call.value_bytes), result.action)


def _read(call: ProcessCall, key: str) -> Any:
    if key in call.absent:
        return ABSENT
    if key not in call.reads:
        raise InputError(
            f"node {call.node_id!r} runs in a process of its own and can read only what its @node names in `reads`; "
            f"{key!r} is not there"
        )
    return call.reads[key]


def _kept(changes: Mapping[str, Any], value_bytes: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    written = {key: settled(value, max_bytes=value_bytes) for key, value in changes.items() if value is not ABSENT}
    return written, tuple(key for key, value in changes.items() if value is ABSENT)


@lru_cache(maxsize=256)
def _code(module: str, qualname: str) -> tuple[Callable[..., Any], Signature]:
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found, read_signature(found)


def _pickled(error: BaseException) -> bytes | None:
    """The error, if it comes out as what went in: many classes cannot be made from their arguments."""
    data, failed = caught(partial(pickle.dumps, error))
    if failed is not None:
        return None
    again, failed = caught(partial(pickle.loads, data))
    return data if failed is None and type(again) is type(error) else None


def _error_of(ended: _Ended) -> BaseException:
    told = ended.told or ErrorInfo(type="Exception", message="")
    if ended.error is not None:
        error, failed = caught(partial(pickle.loads, ended.error))
        if failed is None:
            return told_as(error, told)
    text = f"{told.type}: {told.message}"
    return told_as(RuntimeError(text) if ended.retryable else NonRetryableError(text), told)
