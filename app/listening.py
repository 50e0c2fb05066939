"""Where the views listen: the second worker on a machine must not fail because the first one has the port.

A port is looked for twice. When the application is made, for what Faust prints; and when it starts, where it is taken
at once and kept: the web server itself begins to listen seconds later, and another worker may start meanwhile.
"""

from __future__ import annotations

import socket
from typing import Final

from famulus.errors import SettingsError
from famulus.settings import Settings, variable_of

PORTS_TRIED: Final = 50
BACKLOG: Final = 128


def likely_port(settings: Settings) -> int:
    """The port that was set, as it is; else the first one from the default on that seems to be free."""
    if is_fixed(settings):
        return settings.web_port
    try:
        with take_port(settings.web_host, settings.web_port, fixed=False) as taken:
            port: int = taken.getsockname()[1]
    except SettingsError:
        return settings.web_port
    return port


def is_fixed(settings: Settings) -> bool:
    """Somebody asked for this port and no other."""
    return "web_port" in settings.model_fields_set


def take_port(host: str, port: int, *, fixed: bool) -> socket.socket:
    """A socket that listens on the port or, unless it is fixed, on the first free one after it.

    Raises `SettingsError` naming the variable when there is none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, min(port + (1 if fixed else PORTS_TRIED), 65536)):
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, candidate))
            taken.listen(BACKLOG)
        except OSError:
            taken.close()
        else:
            return taken
    raise SettingsError(variable_of("web_port"), f"port {port} of {host} is in use: name a free one")
