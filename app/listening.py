"""Where the views listen: the second worker on a machine must not fail because the first one has the port."""

from __future__ import annotations

import socket
from typing import Final

from famulus.settings import Settings

PORTS_TRIED: Final = 50


def web_port(settings: Settings) -> int:
    """The port that was set, as it is; else the first free one from the default on."""
    if "web_port" in settings.model_fields_set:
        return settings.web_port
    for port in range(settings.web_port, settings.web_port + PORTS_TRIED):
        if _is_free(settings.web_host, port):
            return port
    return settings.web_port


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
