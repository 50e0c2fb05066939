"""What a proxy says of whoever it asks for. It is believed only if the proxy is one that the operator has named."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from famulus.security.scopes import Caller, Scope

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

FOR: Final = "X-Forwarded-For"
PROTO: Final = "X-Forwarded-Proto"
HOST: Final = "X-Forwarded-Host"
USER: Final = "X-Forwarded-User"
GROUPS: Final = "X-Forwarded-Groups"
USER_CHARACTERS: Final = 128


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks such as 10.0.0.1 and 10.0.0.0/8. Raises `ValueError` naming the one that is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request comes from."""

    client: str
    """The address of whoever asks, as far as it can be believed."""
    is_secure: bool
    """It came by HTTPS."""
    host: str
    """The name by which it was asked for."""
    caller: Caller | None = None
    """Whom the proxy has made sure of."""


class Proxies:
    """The proxies that are believed, and what the groups of their users may do."""

    def __init__(self, trusted: Collection[Network], roles: Mapping[str, Scope]) -> None:
        self._trusted = trusted
        self._roles = roles

    def origin(self, *, peer: str, is_secure: bool, host: str, headers: Mapping[str, str]) -> Origin:
        if not self._trusts(peer):
            return Origin(client=peer, is_secure=is_secure, host=host)
        return Origin(
            client=self._client(peer, headers.get(FOR, "")),
            is_secure=headers.get(PROTO, "https" if is_secure else "http").split(",")[-1].strip() == "https",
            host=headers.get(HOST, host).split(",")[-1].strip(),
            caller=self._caller(headers),
        )

    def _client(self, peer: str, forwarded: str) -> str:
        """The last address that no trusted proxy has: what stands before it, anybody may have written."""
        for text in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not _is_address(text):
                break
            peer = text
            if not self._trusts(text):
                break
        return peer

    def _caller(self, headers: Mapping[str, str]) -> Caller | None:
        name = headers.get(USER, "").strip()
        if not 0 < len(name) <= USER_CHARACTERS or not name.isprintable():
            return None
        groups = {group.strip() for group in headers.get(GROUPS, "").split(",")}
        scopes = [scope for scope in Scope if any(self._roles.get(group) is scope for group in groups)]
        return Caller(name=name, scope=scopes[-1]) if scopes else None

    def _trusts(self, address: str) -> bool:
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
        return any((mapped or known) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
