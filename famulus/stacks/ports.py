"""The ports of a stack: chosen once, then remembered, so that a restarted server is found where it was."""

from __future__ import annotations

import json
import random
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Final

from famulus.stacks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

LOOPBACK: Final = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections: one of those may sit on a
# remembered port just when its server restarts.
CANDIDATES: Final = range(20_000, 32_000)

_given: Final[set[int]] = set()
"""Those that this program was told of: whoever asked may not listen yet, or not at the moment."""


def read_ports(file: Path) -> dict[str, int]:
    """Return the remembered ports by name; none when the file does not exist."""
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise StackError(f"{file} does not hold port numbers by name. Delete it to have ports chosen anew.") from error


def settle_ports(file: Path, wanted: Mapping[str, int | None]) -> dict[str, int]:
    """Give every name its wanted port, else its remembered one, else a free one, and remember all."""
    ports = read_ports(file) | {name: port for name, port in wanted.items() if port is not None}
    for name in wanted:
        if name not in ports:
            ports[name] = free_port(ports.values())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ports, indent=2, sort_keys=True) + "\n")
    return ports


def free_port(taken: Collection[int] = ()) -> int:
    """Return a port of loopback on which nobody listens now, not among those taken, and another one each time."""
    for port in random.SystemRandom().sample(CANDIDATES, k=len(CANDIDATES)):
        if port not in taken and port not in _given and port_is_free(port):
            _given.add(port)
            return port
    raise StackError(f"no free port between {CANDIDATES.start} and {CANDIDATES.stop} on {LOOPBACK}.")


def port_is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
