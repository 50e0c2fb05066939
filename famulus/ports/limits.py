"""Turns of implementations that may not run as often as they like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from famulus.flow.turns import Limit


class Limits(Protocol):
    """Turns of implementations that may not run as often as they like, over all workers."""

    async def take(self, limit: Limit, lease: str) -> float:
        """Take a turn under the name of the lease. 0: it is taken; else: seconds after which it is worth asking again.

        Not longer than `famulus.flow.turns.LEASE_SECONDS` unless it is renewed, for its worker may have died. Who has
        the turn keeps it and takes no other. Raises `LimitsUnavailableError`, at once while the server is known to be
        away; the turn may have been taken then.
        """
        ...

    async def renew(self, held: Mapping[str, str]) -> None:
        """These leases (lease -> name of the limit) go on, also if they were forgotten. Errors as `take`."""
        ...

    async def give_back(self, name: str, lease: str) -> None:
        """The turn is over. Never raises: what is left behind expires. What nobody has taken is given back in vain."""
        ...
