"""Takes secrets out of whatever is about to be written: by their values, in the forms that texts have them in."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from famulus.blueprint.values import ABSENT

MASK: Final = "***"
LINE_CHARACTERS_MIN: Final = 12
"""Of a secret with several lines, such as a key, each line is one too: a traceback may show it alone."""


class Redactor:
    """Knows values, and forgets none: what was a secret once does not become harmless."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.register(value)

    def __bool__(self) -> bool:
        """Whether there is anything to take out."""
        return bool(self._known)

    def register(self, value: str) -> None:
        if value in self._known:
            return
        self._known.add(value)
        forms = {form for known in self._known for form in _forms(known)}
        # The longest first: a secret may be the beginning of another.
        self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))))

    def values(self) -> tuple[str, ...]:
        return tuple(self._known)

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def data(self, value: Any) -> Any:
        """JSON data without secrets, in keys too. What holds none comes back as it is."""
        if self._pattern is None or value is ABSENT:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.data(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(inner) for inner in value]
        return value


class RedactingFormatter(logging.Formatter):
    """Takes secrets out of a whole line with its traceback, when another formatter has made it."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(self._inner.format(record))


def _forms(value: str) -> Iterable[str]:
    raw = value.encode()
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield repr(raw)[2:-1]
    yield quote(value, safe="")
    yield quote_plus(value)
    yield raw.hex()
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield encoded.decode().rstrip("=")
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= LINE_CHARACTERS_MIN)
