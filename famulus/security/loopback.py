"""Which hosts are this machine: nothing on the way to them can be listened to or changed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def beyond_loopback(hosts: Iterable[str]) -> list[str]:
    """Those of the hosts that are not this machine."""
    return [host for host in hosts if not is_loopback(host)]
