"""How a blueprint names a secret: `secret://name`. The value is in no blueprint."""

from __future__ import annotations

import re
from typing import Any, Final

SCHEME: Final = "secret://"
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_REFERENCE: Final = re.compile(rf"secret://({NAME})")


def secret_name(value: Any) -> str | None:
    """The name of the secret that a value stands for; ``None`` for any other value."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else found[1]
