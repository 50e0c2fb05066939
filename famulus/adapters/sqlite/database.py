"""The file: opened, brought to the newest schema, written by one thread and read by another.

Writes go through one group-commit thread; reads have their own connection, which in WAL mode waits for no writer and
sees whole commits only. `synchronous=FULL`: what was committed survives a power cut.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from famulus.adapters.sqlite.group_commit import GroupCommit
from famulus.errors import OutputError, StoreUnavailableError, TerminalError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

MIGRATIONS: Final = (
    "schema.sql",
    "hooks.sql",
    "waiting.sql",
    "schedules.sql",
    "blobs.sql",
    "tokens.sql",
    "dead_letters.sql",
    "dead_letters_kept.sql",
    "epochs_of_rows.sql",
)
"""Each brings the file from the version that is its place here (0: empty) to the next. Only ever appended to."""
BUSY_TIMEOUT_SECONDS: Final = 5.0
"""How long a write waits for another process that writes."""
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
_WAL_RETRY_SECONDS: Final = 0.02

Row = dict[str, Any]
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    written: sqlite3.Connection
    read: sqlite3.Connection
    writer: GroupCommit
    reader_thread: ThreadPoolExecutor


class SqliteDatabase:
    """One open file, for the stores of one process. Open and use it on one event loop."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: _Opened | None = None

    async def open(self) -> None:
        """Open the file, created with its folder where it is missing, and bring it to the newest schema."""
        with self._our_errors():
            written, read = await asyncio.to_thread(_connect_both, self.path)
        writer = GroupCommit(written, asyncio.get_running_loop())
        writer.start()
        reader_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="famulus-sqlite-reader")
        self._opened = _Opened(written=written, read=read, writer=writer, reader_thread=reader_thread)

    async def close(self) -> None:
        """Write what waits, then close. Closing again does nothing."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        await opened.writer.stop()
        await asyncio.to_thread(opened.reader_thread.shutdown)
        opened.read.close()
        opened.written.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def write(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Do the work in a transaction, shared with whatever else is written now; return when it is on disk.

        The work does SQL only, and may be done twice (the first time is rolled back).
        """
        opened = self._must_be_open()
        with self._our_errors():
            return await opened.writer.run(work)

    async def read(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Do the work on one snapshot: it sees no commit by halves."""
        opened = self._must_be_open()
        with self._our_errors():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(opened.reader_thread, partial(_on_snapshot, opened.read, work))

    def _must_be_open(self) -> _Opened:
        if self._opened is None:
            raise StoreUnavailableError(f"the database {self.path} is not open")
        return self._opened

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"the database {self.path} cannot be used now: {error}") from error
        except (sqlite3.DataError, OverflowError, UnicodeEncodeError) as error:
            raise OutputError(f"the database {self.path} cannot hold a value: {error}") from error


def _connect_both(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A connection to write, and one to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = _connect(path)
    try:
        _enable_wal(written)
        written.execute("PRAGMA synchronous = FULL")
        written.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        _migrate(written, path)
        read = _connect(path)
    except BaseException:
        written.close()
        raise
    read.execute("PRAGMA query_only = ON")
    return written, read


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are begun by hand; each connection is used by one thread, though opened and closed by others.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = _as_dict
    return connection


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _on_snapshot(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("COMMIT")


def _enable_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for other processes here, whatever the timeout: two that open a new file meet at this line.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(MIGRATIONS):
        return  # whoever only reads waits for nobody who writes
    # The version is read inside the transaction, so that of several processes one migrates and the others see it done.
    with _transaction(connection):
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise TerminalError(
                f"the database {path} has schema version {version}, this famulus knows {len(MIGRATIONS)}: upgrade it"
            )
        for script in MIGRATIONS[version:]:
            for statement in _statements(files(__package__).joinpath(script).read_text(encoding="utf-8")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()["user_version"])


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (disk full, I/O), and refuses a second time.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would end our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
