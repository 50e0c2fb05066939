"""A real Kafka of one node (KRaft: broker and controller in one process), run from its Maven artefact."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from typing import TYPE_CHECKING, Final

from famulus.stacks import maven
from famulus.stacks.errors import StackError
from famulus.stacks.java import find_java
from famulus.stacks.maven import Coordinate
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.probes import kafka_answers
from famulus.stacks.process import ManagedProcess
from famulus.stacks.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress

NAME: Final = "kafka"
KAFKA: Final = Coordinate(group="org.apache.kafka", artifact="kafka_2.13", version="4.1.0")
# Kafka's artefact brings log4j but not the bridge from slf4j to it; without the bridge its log stays empty.
LOG_BRIDGE: Final = Coordinate(group="org.apache.logging.log4j", artifact="log4j-slf4j-impl", version="2.24.3")
HEAP_MB: Final = 512
JVM_FLAGS: Final = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true")
LOG_CONFIG: Final = """\
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1} - %m%n
# On info this one prints some 400 settings at every start.
logger.settings.name = org.apache.kafka.common.config
logger.settings.level = warn
"""


def kafka(folder: Path, port: int, *, controller_port: int) -> Server:
    """Describe the broker whose configuration, data and log lie in the folder; the data is kept over restarts."""
    data = folder / "data"

    def prepare(progress: Progress) -> Sequence[str]:
        java = find_java()
        if not maven.is_cached(KAFKA, LOG_BRIDGE):
            progress(f"{NAME}: fetching {KAFKA} with Maven, this once")
        jars = maven.resolve(KAFKA, LOG_BRIDGE)
        settings = _write_settings(folder, broker_settings(data, port, controller_port=controller_port))
        run = _java_command(java, jars, _write_log_config(folder))
        if not (data / "meta.properties").exists():
            _format(run, settings)
        return [*run, "kafka.Kafka", str(settings)]

    return Server(
        name=NAME,
        version=KAFKA.version,
        port=port,
        process=ManagedProcess(NAME, folder),
        prepare=prepare,
        answers=kafka_answers,
        ready_seconds=60,
        grace_seconds=20,
    )


def broker_settings(data: Path, port: int, *, controller_port: int) -> dict[str, str]:
    """Return the contents of ``server.properties``; what is not named here keeps Kafka's default."""
    broker, controller = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "message.max.bytes": str(1024 * 1024),
        "auto.create.topics.enable": "false",
        # A worker that starts alone need not wait 3 s for others to join its group.
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the new process is let in when the session of the killed one is over; the default is 9 s.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        # One node holds everything once, and few internal partitions make the first consumer group quick.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }


def new_cluster_id() -> str:
    """Return a random id in Kafka's form: 22 characters of URL-safe base64, the first no dash, or it were an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not cluster_id.startswith("-"):
            return cluster_id


def _write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return file


def _write_log_config(folder: Path) -> Path:
    file = folder / "log4j2.properties"
    file.write_text(LOG_CONFIG)
    return file


def _java_command(java: Path, jars: Sequence[Path], log_config: Path) -> list[str]:
    heap = f"-Xmx{HEAP_MB}m"
    logs = f"-Dlog4j2.configurationFile={log_config.as_uri()}"
    return [str(java), heap, *JVM_FLAGS, logs, "-cp", os.pathsep.join(map(str, jars))]


def _format(run: Sequence[str], settings: Path) -> None:
    answer = subprocess.run(  # noqa: S603
        [*run, "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", str(settings)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if answer.returncode != 0:
        raise StackError(f"Kafka could not prepare its data folder as {settings} says: {answer.stderr.strip()}")
