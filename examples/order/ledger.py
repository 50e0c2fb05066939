"""A payment provider and a warehouse, as one SQLite file: they honour idempotency keys, as real ones do.

A step of a workflow runs at least once. Because the key is the same for every attempt of a step, and the key is the
primary key here, money moves once all the same. The same key with other words is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payments (
    key TEXT PRIMARY KEY, account TEXT NOT NULL, cents INTEGER NOT NULL, reverses TEXT UNIQUE REFERENCES payments
);
CREATE TABLE IF NOT EXISTS reservations (key TEXT PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, quantity INTEGER NOT NULL);
"""
FIRST_STOCK: Final = 100
"""Of an article that nobody asked for before."""


class KeyReusedError(Exception):
    """The idempotency key was used before, for something else."""


class Ledger:
    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def charge(self, key: str, account: str, cents: int) -> None:
        """Take the money from the account. A second identical call changes nothing."""
        with self._transaction() as database:
            self._pay(database, key, account, cents, reverses=None)

    def refund(self, key: str, charge_key: str) -> int:
        """Give back what was charged under the other key, and return how much. Also once."""
        with self._transaction() as database:
            found = database.execute("SELECT account, cents FROM payments WHERE key = ?", (charge_key,)).fetchone()
            if found is None:
                raise LookupError(f"nothing was charged under {charge_key!r}")
            account, cents = found
            self._pay(database, key, account, -cents, reverses=charge_key)
            return int(cents)

    def reserve(self, key: str, sku: str, quantity: int) -> bool:
        """Set articles aside, once for the key. False, and nothing is done, if there are not enough."""
        with self._transaction() as database:
            known = database.execute("SELECT sku, quantity FROM reservations WHERE key = ?", (key,)).fetchone()
            if known is not None:
                _require_same(key, known, (sku, quantity))
                return True
            database.execute("INSERT OR IGNORE INTO stock VALUES (?, ?)", (sku, FIRST_STOCK))
            taken = database.execute(
                "UPDATE stock SET quantity = quantity - ? WHERE sku = ? AND quantity >= ?", (quantity, sku, quantity)
            )
            if taken.rowcount == 0:
                return False
            database.execute("INSERT INTO reservations VALUES (?, ?, ?)", (key, sku, quantity))
            return True

    def release(self, key: str) -> None:
        """Put what was reserved under the key back. What is not reserved (any more) stays as it is."""
        with self._transaction() as database:
            for sku, quantity in database.execute(
                "DELETE FROM reservations WHERE key = ? RETURNING sku, quantity", (key,)
            ):
                database.execute("UPDATE stock SET quantity = quantity + ? WHERE sku = ?", (quantity, sku))

    def balance(self, account: str) -> int:
        """What was charged, less what was given back."""
        with self._transaction() as database:
            total = database.execute("SELECT coalesce(sum(cents), 0) FROM payments WHERE account = ?", (account,))
            return int(total.fetchone()[0])

    def in_stock(self, sku: str) -> int:
        with self._transaction() as database:
            found = database.execute("SELECT quantity FROM stock WHERE sku = ?", (sku,)).fetchone()
            return FIRST_STOCK if found is None else int(found[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as database:
            database.executescript(SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @staticmethod
    def _pay(database: sqlite3.Connection, key: str, account: str, cents: int, *, reverses: str | None) -> None:
        known = database.execute("SELECT account, cents, reverses FROM payments WHERE key = ?", (key,)).fetchone()
        if known is not None:
            _require_same(key, known, (account, cents, reverses))
            return
        database.execute("INSERT INTO payments VALUES (?, ?, ?, ?)", (key, account, cents, reverses))


def _require_same(key: str, known: tuple[object, ...], asked: tuple[object, ...]) -> None:
    if known != asked:
        raise KeyReusedError(f"key {key!r} was used before for {known}, now for {asked}")
