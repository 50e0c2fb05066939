"""Calls of webhooks that are signed: the URL alone, which may stand in a log or a mail, lets nothing go on then.

The header has the time and the HMAC-SHA256 of the time, a dot and the body. A call that somebody has seen is of no use
later: the time must be near, and the webhook works once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from famulus.errors import AccessDeniedError

HEADER: Final = "X-Famulus-Signature"
NEAR_SECONDS: Final = 300
_FORM: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign_call(secret: str, body: bytes, *, at: int) -> str:
    """The value of the header."""
    return f"t={at},v1={_mac(secret, body, at)}"


def check_call(secret: str, header: str | None, body: bytes, *, now: float) -> None:
    """Raises `AccessDeniedError` for a call that is not signed, signed wrongly, or at another time."""
    found = _FORM.fullmatch(header or "")
    if found is None:
        raise AccessDeniedError(f"this webhook wants a signature: the header {HEADER} as t=SECONDS,v1=HMAC-SHA256")
    at = int(found[1])
    if not hmac.compare_digest(_mac(secret, body, at), found[2]):
        raise AccessDeniedError("the signature does not fit: it was made with another secret, or of another body")
    if abs(now - at) > NEAR_SECONDS:
        raise AccessDeniedError(f"the signature is of another time: at most {NEAR_SECONDS} s may lie between")


def _mac(secret: str, body: bytes, at: int) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
