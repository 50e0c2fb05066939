"""One thread writes: it takes everything that waits, applies it in one transaction, and tells all who waited at once.

A commit costs a flush to the disk whatever its size, so while one is under way the next group gathers by itself. The
rule it guards: what one caller wrote badly fails that caller only, never its neighbours in the group.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

GROUP_LIMIT: Final = 1000
"""Works in one transaction: bounds how long other processes wait for the file."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Work that someone waits for."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Any = None
    error: Exception | None = None


class GroupCommit:
    """Runs works on a connection, in its own thread. All methods are called on the loop that it was made for."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        # A daemon: a program that forgot to close the database can still end.
        self._thread = threading.Thread(target=self._write, name="famulus-sqlite-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Do the work in a transaction; return or raise what it did once the transaction is on disk.

        The work may be done twice (the first time is rolled back), and is done even when the caller is cancelled.
        """
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._queue.put(_Waiting(work, future))
        return await future

    async def stop(self) -> None:
        """Write what waits, then end the thread. Nothing may be given to `run` any more."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _write(self) -> None:
        stopped = False
        while not stopped:
            group, stopped = self._next_group()
            if group:
                self._report(group, self._apply(group))

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Wait for the first work, then take what else is there; say whether it was the last group."""
        waiting = self._queue.get()
        group: list[_Waiting] = []
        while waiting is not None:
            group.append(waiting)
            if len(group) == GROUP_LIMIT:
                return group, False
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _apply(self, group: list[_Waiting]) -> list[_Outcome]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            # Another process holds the file, or it is gone. To ask again for each work would only wait as often.
            return [_Outcome(error=error)] * len(group)
        try:
            results = [waiting.work(self._connection) for waiting in group]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller whose work it was
            self._roll_back()
            if len(group) == 1:
                return [_Outcome(error=error)]
            log.warning(
                "A group of %d writes failed (%s); each is tried alone",
                len(group),
                error,
                extra={"action": "group_commit_split", "writes": len(group)},
            )
            return [outcome for waiting in group for outcome in self._apply([waiting])]
        return [_Outcome(result=result) for result in results]

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors (disk full, I/O), and refuses a second time.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _report(self, group: list[_Waiting], outcomes: list[_Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, group, outcomes)
        except RuntimeError:
            log.warning("The loop was closed before the database", extra={"action": "group_commit_abandoned"})


def _settle(group: list[_Waiting], outcomes: list[_Outcome]) -> None:
    for waiting, outcome in zip(group, outcomes, strict=True):
        if waiting.future.done():
            continue  # cancelled by its caller
        if outcome.error is None:
            waiting.future.set_result(outcome.result)
        else:
            waiting.future.set_exception(outcome.error)
