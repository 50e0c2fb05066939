"""Signatures of records: whoever may write to the topics may not for that reason start any node with any params.

A header carries the HMAC-SHA256 of key and value. The first of the keys signs, all of them are accepted, so that a key
can be exchanged while workers run. A record that is seen can be sent again: that is harmless for what the engine sends
itself, which is a hint, and for commands that have an id.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Sequence
from typing import Final, TypeAlias

from famulus.errors import BadRecordError
from famulus.ids import RunId
from famulus.ports import Bus, Record

SIGNATURE: Final = "famulus-signature"
SCHEME: Final = b"v1="

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class Signatures:
    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def sign(self, key: bytes | None, value: bytes | None) -> bytes:
        return _signature(self._keys[0], key, value)

    def check(self, record: Record) -> None:
        """Raises `BadRecordError` for a record that is not signed with one of the keys."""
        found = [value for name, value in record.headers if name == SIGNATURE]
        if not found:
            raise BadRecordError(
                f"it carries no signature (header {SIGNATURE}), and FAMULUS_RECORD_KEY asks for one",
                code="bad_signature",
            )
        signature = found[-1] or b""
        if not any(hmac.compare_digest(_signature(each, record.key, record.value), signature) for each in self._keys):
            raise BadRecordError(
                "its signature does not fit: it was signed with another key, or changed", code="bad_signature"
            )


class SignedBus:
    """A `Bus` that signs jobs and items. Events and dead letters are for readers, and go through as they are."""

    def __init__(self, bus: Bus, signatures: Signatures) -> None:
        self._bus = bus
        self._signatures = signatures
        self.partition_of = bus.partition_of
        self.send_event = bus.send_event
        self.send_dead_letter = bus.send_dead_letter

    @property
    def partitions(self) -> int:
        return self._bus.partitions

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        signature = (SIGNATURE, self._signatures.sign(run_id.encode(), value))
        # What is forwarded was signed for the key that it had.
        others = [(name, each) for name, each in headers if name != SIGNATURE]
        return await self._bus.send_job(run_id, value, headers=[*others, signature])

    async def send_item(
        self, key: str, value: bytes, *, beyond: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        signature = (SIGNATURE, self._signatures.sign(key.encode(), value))
        return await self._bus.send_item(key, value, beyond=beyond, headers=[*headers, signature])

    async def send_again(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Awaitable[None]:
        """As it was, but signed: whoever sends a dead letter again answers for it."""
        others = [(name, each) for name, each in headers if name != SIGNATURE]
        return await self._bus.send_again(
            topic, key, value, [*others, (SIGNATURE, self._signatures.sign(key, value or b""))]
        )


def signed(bus: Bus, signatures: Signatures | None) -> Bus:
    return bus if signatures is None else SignedBus(bus, signatures)


def _signature(secret: bytes, key: bytes | None, value: bytes | None) -> bytes:
    # The length keeps apart what is key and what is value.
    known = key or b""
    mac = hmac.new(secret, b"%d:%s%s" % (len(known), known, value or b""), hashlib.sha256)
    return SCHEME + mac.hexdigest().encode()
