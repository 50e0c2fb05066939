"""The stack that needs Python alone: Tansu as the broker, Valkey for hints, and a SQLite file for the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.stacks import tansu, valkey
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.stack import Stack, keep_quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress, Server


class EmbeddedStack(Stack):
    """Servers from wheels; what they hold is lost when they stop, the SQLite file stays."""

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka_port: int | None = None,
        redis_port: int | None = None,
        progress: Progress = keep_quiet,
    ) -> None:
        super().__init__(data_dir, wanted_ports={tansu.NAME: kafka_port, valkey.NAME: redis_port}, progress=progress)

    def _servers(self, ports: Mapping[str, int]) -> Sequence[Server]:
        return (
            tansu.tansu(self.data_dir / tansu.NAME, ports[tansu.NAME]),
            valkey.valkey(self.data_dir / valkey.NAME, ports[valkey.NAME]),
        )

    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        return {
            "KAFKA_BROKERS": f"{LOOPBACK}:{ports[tansu.NAME]}",
            "REDIS_URL": f"redis://{LOOPBACK}:{ports[valkey.NAME]}/0",
            "FAMULUS_SQLITE_PATH": str(self.data_dir / "famulus.db"),
        }
