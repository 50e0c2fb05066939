"""What happened when, as lines of JSON: the seed comes first, and lets the same plan be carried out again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class History:
    def __init__(self, file: Path, **about: Any) -> None:
        self._file = file
        self._began = time.monotonic()
        file.write_text(json.dumps(about) + "\n")

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def tell(self, what: str, **about: Any) -> None:
        line = json.dumps({"at": round(self.now(), 2), "what": what, **about})
        with self._file.open("a") as file:
            file.write(line + "\n")
