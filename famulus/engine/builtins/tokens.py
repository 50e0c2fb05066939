"""The tokens of webhooks: nobody can guess them, and every worker can make them.

A token is a MAC of the step that it lets go on. So an earlier node can send the URL before the webhook's own step has
begun, whichever worker runs either of them, and no row or event has to hold it (decision 0012).
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from famulus.ids import RunId, StepId

TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class HookTokens:
    secret: bytes = field(repr=False)
    """The same in all workers of an installation."""
    public_url: str
    """Where the HTTP API is reached from outside."""
    life_seconds: float = 0.0
    """Of the token of a webhook that says neither how long that is good nor how long it waits; 0: while it waits."""

    def token_of(self, run_id: RunId, step_id: StepId) -> str:
        # A run id holds no slash, so no two steps have the same text.
        mac = hmac.digest(self.secret, f"{run_id}/{step_id}".encode(), "sha256")
        return urlsafe_b64encode(mac[:TOKEN_BYTES]).decode()

    def url_of(self, run_id: RunId, step_id: StepId) -> str:
        return f"{self.public_url.rstrip('/')}/hooks/{self.token_of(run_id, step_id)}"


def digest_of_token(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
