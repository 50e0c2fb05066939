"""Dead letters for those who look: nothing in their bytes may steer a terminal or a page, and nothing may be hidden."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from famulus.ports import LetterMark, LetterSummary, ListedLetter, StoredLetter

DUMPED: Final = 4096
"""Bytes of a value that are dumped."""
_ROW: Final = 16
_PRINTABLE: Final = range(0x20, 0x7F)


def listed_json(listed: ListedLetter) -> dict[str, Any]:
    return {**_summary(listed.summary), **_mark(listed.mark)}


def letter_json(stored: StoredLetter) -> dict[str, Any]:
    letter = stored.letter
    return {
        **_summary(letter.summary),
        **_mark(stored.mark),
        "key": bytes_json(letter.key),
        "value": bytes_json(letter.value),
        "headers": [{"name": name, **(bytes_json(value) or {"text": None})} for name, value in letter.headers],
    }


def bytes_json(value: bytes | None) -> dict[str, Any] | None:
    """All of the bytes in base64, and as text where they are one."""
    if value is None:
        return None
    return {"text": text_of(value), "base64": b64encode(value).decode()}


def text_of(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def hex_dump(value: bytes, *, most: int = DUMPED) -> Iterator[str]:
    """Lines of place, bytes and what of them can be printed; ASCII alone."""
    for start in range(0, min(len(value), most), _ROW):
        row = value[start : min(start + _ROW, most)]
        printed = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):<{_ROW * 3 - 1}}  {printed}"
    if len(value) > most:
        yield f"... and {len(value) - most} bytes more"


def _summary(summary: LetterSummary) -> dict[str, Any]:
    return {
        "id": summary.letter_id,
        "at": summary.at,
        "code": summary.code,
        "reason": summary.reason,
        "source": {"topic": summary.topic, "partition": summary.partition, "offset": summary.offset},
        "run_id": summary.run_id,
        "value_bytes": summary.value_bytes,
        "is_cut": summary.is_cut,
        "redriven_from": summary.redriven_from,
    }


def _mark(mark: LetterMark) -> dict[str, Any]:
    if mark.state == "open":
        return {"state": mark.state, "by": None, "marked_at": None, "note": None}
    return {"state": mark.state, "by": mark.by, "marked_at": mark.at, "note": mark.note}
