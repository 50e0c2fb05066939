"""Dead letters as JSON: what stores keep of them beside the raw bytes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from famulus.ports import LETTER_CODE, LETTER_REASON, LETTER_SOURCE, LETTER_TIME, LetterSummary, Record

REASON_BYTES: Final = 8 * 1024

_SUMMARY = msgspec.json.Decoder(LetterSummary)


def reason_headers(record: Record, *, code: str, reason: str) -> tuple[tuple[str, bytes], ...]:
    """What a dead letter has after the headers of the record itself."""
    return (
        (LETTER_CODE, code.encode()),
        (LETTER_REASON, reason.encode(errors="replace")[:REASON_BYTES]),
        (LETTER_SOURCE, f"{record.topic}/{record.partition}/{record.offset}".encode()),
        (LETTER_TIME, repr(float(record.timestamp)).encode()),
    )


def summary_bytes(summary: LetterSummary) -> bytes:
    return msgspec.json.encode(summary)


def read_summary(data: bytes) -> LetterSummary:
    return _SUMMARY.decode(data)


def header_bytes(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    return msgspec.json.encode(
        [(name, None if value is None else b64encode(value).decode()) for name, value in headers]
    )


def read_headers(data: bytes) -> tuple[tuple[str, bytes | None], ...]:
    pairs = cast("list[tuple[str, Any]]", msgspec.json.decode(data))
    return tuple((name, None if value is None else b64decode(value)) for name, value in pairs)
