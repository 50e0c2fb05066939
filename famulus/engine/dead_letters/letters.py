"""From a record of the topic of dead letters to the letter, and from the letter to the record that it was.

Pure. Anybody may write to that topic, so nothing of a letter is believed: what it says of its source only names it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import msgspec

from famulus.ids import is_run_id
from famulus.ports import (
    FORWARDED,
    LETTER_CODE,
    LETTER_CUT,
    LETTER_REASON,
    LETTER_SOURCE,
    LETTER_TIME,
    REDRIVEN,
    DeadLetter,
    LetterSummary,
    Record,
)

Headers = Sequence[tuple[str, bytes | None]]

TEXT_CHARACTERS: Final = 2000
TOPIC_CHARACTERS: Final = 249
"""As long as the name of a topic may be."""
ID_CHARACTERS: Final = 24
UNKNOWN_CODE: Final = "unknown"
_OURS: Final = frozenset({LETTER_CODE, LETTER_REASON, LETTER_SOURCE, LETTER_TIME, LETTER_CUT})
_LETTER_ID: Final = re.compile(f"[0-9a-f]{{{ID_CHARACTERS}}}")
_NUMBER_MAX: Final = 2**53


def read_letter(record: Record) -> DeadLetter:
    """The letter of a record of the topic of dead letters, whatever lies there."""
    told, own = _told(record.headers)
    topic, partition, offset = _source(told.get(LETTER_SOURCE), record)
    at = _time(told.get(LETTER_TIME), record.timestamp)
    whole = _number(told.get(LETTER_CUT, b""))
    size = None if record.value is None else len(record.value)
    summary = LetterSummary(
        letter_id=_id(record, topic, partition, offset, at),
        at=at,
        code=_text(told.get(LETTER_CODE)) or UNKNOWN_CODE,
        reason=_text(told.get(LETTER_REASON)),
        topic=topic,
        partition=partition,
        offset=offset,
        run_id=run_id_in(record.key, record.value),
        value_bytes=size if whole is None else whole,
        is_cut=LETTER_CUT in told,
        redriven_from=_first(dict(own).get(REDRIVEN)),
    )
    return DeadLetter(summary=summary, key=record.key, value=record.value, headers=own)


def headers_again(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """The headers of the record when it is sent again: its own, where it came from first, no marks of its ways."""
    kept = [(name, value) for name, value in letter.headers if name not in (FORWARDED, REDRIVEN)]
    first = letter.summary.redriven_from or letter.summary.letter_id
    return [*kept, (REDRIVEN, first.encode())]


def run_id_in(key: bytes | None, value: bytes | None) -> str | None:
    """The run that a record names, in its value or else by its key; ``None`` where nothing in it can be a run id."""
    document: Any = None
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):  # that may be why it is here
        document = msgspec.json.decode(value or b"")
    if isinstance(document, dict):
        for name in ("run_id", "runId"):
            named = document.get(name)
            if isinstance(named, str) and is_run_id(named):
                return named
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if is_run_id(text) else None


def _told(headers: Headers) -> tuple[Mapping[str, bytes], Headers]:
    """What was said of the record when it was set aside, and its own headers.

    A record may have had headers of these names itself, by having been such a letter in a former life: ours come last.
    """
    last = {name: place for place, (name, value) in enumerate(headers) if name in _OURS and value is not None}
    told = {name: headers[place][1] or b"" for name, place in last.items()}
    places = set(last.values())
    return told, tuple(header for place, header in enumerate(headers) if place not in places)


def _source(told: bytes | None, record: Record) -> tuple[str, int, int]:
    """Where the record came from; of one that does not say so, its place on the topic of dead letters."""
    topic, _, rest = _text(told).rpartition("/")[0].rpartition("/")
    partition, offset = _number(rest.encode()), _number((told or b"").rpartition(b"/")[2])
    if not topic or partition is None or offset is None:
        return record.topic[:TOPIC_CHARACTERS], record.partition, record.offset
    return topic[:TOPIC_CHARACTERS], partition, offset


def _first(told: bytes | None) -> str | None:
    text = _text(told)
    return text if _LETTER_ID.fullmatch(text) else None


def _time(told: bytes | None, default: float) -> float:
    try:
        at = float(told or b"")
    except ValueError:
        return default
    return at if math.isfinite(at) and 0 < at < _NUMBER_MAX else default


def _number(text: bytes) -> int | None:
    if not text.isdigit() or len(text) > len(str(_NUMBER_MAX)):
        return None
    return int(text)


def _text(told: bytes | None) -> str:
    return (told or b"").decode(errors="replace")[:TEXT_CHARACTERS]


def _id(record: Record, topic: str, partition: int, offset: int, at: float) -> str:
    """The same for a record that was set aside twice, another one for all others: also after a broker has forgotten.

    So not the place on the topic of dead letters, and not the place of the record alone.
    """
    digest = hashlib.sha256()
    source = f"{topic}/{partition}/{offset}/{at!r}".encode()
    for part in (source, record.key, record.value):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.hexdigest()[:ID_CHARACTERS]


def without_bytes(letter: DeadLetter) -> DeadLetter:
    """For a store that cannot take it whole."""
    return replace(letter, summary=replace(letter.summary, is_cut=True), key=None, value=None, headers=())
