"""The real servers without Docker: Kafka and Cassandra from their Maven artefacts, and Valkey or Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.stacks import cassandra, kafka, valkey
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.stack import Stack, keep_quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress, Server

KAFKA_CONTROLLER: Final = "kafka-controller"
CASSANDRA_STORAGE: Final = "cassandra-storage"


class RealStack(Stack):
    """One node of each server; topics and tables stay over ``down`` and ``up``, what Valkey holds does not."""

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka_port: int | None = None,
        cassandra_port: int | None = None,
        redis_port: int | None = None,
        cassandra_heap_mb: int = cassandra.DEFAULT_HEAP_MB,
        progress: Progress = keep_quiet,
    ) -> None:
        super().__init__(
            data_dir,
            wanted_ports={
                kafka.NAME: kafka_port,
                KAFKA_CONTROLLER: None,
                cassandra.NAME: cassandra_port,
                CASSANDRA_STORAGE: None,
                valkey.NAME: redis_port,
            },
            progress=progress,
        )
        self._cassandra_heap_mb = cassandra_heap_mb

    def _servers(self, ports: Mapping[str, int]) -> Sequence[Server]:
        return (
            kafka.kafka(self.data_dir / kafka.NAME, ports[kafka.NAME], controller_port=ports[KAFKA_CONTROLLER]),
            cassandra.cassandra(
                self.data_dir / cassandra.NAME,
                ports[cassandra.NAME],
                storage_port=ports[CASSANDRA_STORAGE],
                heap_mb=self._cassandra_heap_mb,
            ),
            valkey.valkey(self.data_dir / valkey.NAME, ports[valkey.NAME]),
        )

    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        return {
            "KAFKA_BROKERS": f"{LOOPBACK}:{ports[kafka.NAME]}",
            "CASSANDRA_CONTACT_POINTS": f"{LOOPBACK}:{ports[cassandra.NAME]}",
            "CASSANDRA_DATACENTER": cassandra.DATACENTER,
            "REDIS_URL": f"redis://{LOOPBACK}:{ports[valkey.NAME]}/0",
        }
