"""A real Cassandra of one node, run from its Maven artefact."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from famulus.stacks import maven
from famulus.stacks.java import find_java
from famulus.stacks.maven import Coordinate
from famulus.stacks.ports import LOOPBACK
from famulus.stacks.probes import cassandra_answers
from famulus.stacks.process import ManagedProcess
from famulus.stacks.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress

NAME: Final = "cassandra"
DATACENTER: Final = "datacenter1"
"""The name that SimpleSnitch gives to the only datacenter it knows."""
CASSANDRA: Final = Coordinate(group="org.apache.cassandra", artifact="cassandra-all", version="5.0.6")
DEFAULT_HEAP_MB: Final = 1024
# What Cassandra needs of Java 17's closed packages: conf/jvm17-server.options of its distribution, less the packages
# of the compiler, which a JRE lacks.
EXPORTED_PACKAGES: Final = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
OPENED_PACKAGES: Final = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
)
JVM_FLAGS: Final = (
    "-XX:+UseG1GC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xss256k",
    "-Djava.awt.headless=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
)
# A node without others has nobody to wait for.
NO_WAITING: Final = (
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
)
LOG_CONFIG: Final = """\
<configuration>
  <appender name="stdout" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="stdout"/></root>
</configuration>
"""


def cassandra(folder: Path, port: int, *, storage_port: int, heap_mb: int = DEFAULT_HEAP_MB) -> Server:
    """Describe the node whose configuration, data and log lie in the folder; the data is kept over restarts."""

    def prepare(progress: Progress) -> Sequence[str]:
        java = find_java()
        if not maven.is_cached(CASSANDRA):
            progress(f"{NAME}: fetching {CASSANDRA} with Maven, this once")
        jars = maven.resolve(CASSANDRA)
        _write_config(folder, node_settings(folder / "data", port, storage_port=storage_port))
        return [str(java), *_jvm_options(folder, jars, heap_mb), "org.apache.cassandra.service.CassandraDaemon"]

    return Server(
        name=NAME,
        version=CASSANDRA.version,
        port=port,
        process=ManagedProcess(NAME, folder),
        prepare=prepare,
        answers=cassandra_answers,
        ready_seconds=120,
        grace_seconds=30,
    )


def node_settings(data: Path, port: int, *, storage_port: int) -> dict[str, Any]:
    """Return the contents of ``cassandra.yaml``; what is not named here keeps Cassandra's default."""
    seeds = {
        "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
        "parameters": [{"seeds": f"{LOOPBACK}:{storage_port}"}],
    }
    return {
        "cluster_name": "famulus",
        "num_tokens": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [seeds],
        "auto_bootstrap": False,
        "listen_address": LOOPBACK,
        "storage_port": storage_port,
        "rpc_address": LOOPBACK,
        "native_transport_port": port,
        "data_file_directories": [str(data / "tables")],
        "commitlog_directory": str(data / "commitlog"),
        "saved_caches_directory": str(data / "saved_caches"),
        "hints_directory": str(data / "hints"),
        "cdc_raw_directory": str(data / "cdc_raw"),
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10s",
        # The distribution's choice for new clusters; the default in the code is the older protocol.
        "paxos_variant": "v2",
        # A dropped table or keyspace of a test need not be kept on disk.
        "auto_snapshot": False,
    }


def _write_config(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _yaml_file(folder).write_text(json.dumps(settings, indent=2) + "\n")  # JSON is YAML, with no quoting to get wrong
    _log_config_file(folder).write_text(LOG_CONFIG)


def _jvm_options(folder: Path, jars: Sequence[Path], heap_mb: int) -> Iterator[str]:
    yield from (f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", *JVM_FLAGS, *NO_WAITING)
    yield from (f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTED_PACKAGES)
    yield from (f"--add-opens={package}=ALL-UNNAMED" for package in OPENED_PACKAGES)
    # The agent that measures how much memory a table's unsaved writes take.
    yield from (f"-javaagent:{jar}" for jar in jars if jar.name.startswith("jamm-"))
    yield f"-Dcassandra.config={_yaml_file(folder).as_uri()}"
    yield f"-Dcassandra.storagedir={folder / 'data'}"
    yield f"-Dcassandra.logdir={folder}"
    yield f"-Dlogback.configurationFile={_log_config_file(folder).as_uri()}"
    yield "-Dcassandra-foreground=yes"
    yield from ("-cp", os.pathsep.join(map(str, jars)))


def _yaml_file(folder: Path) -> Path:
    return folder / "cassandra.yaml"


def _log_config_file(folder: Path) -> Path:
    return folder / "logback.xml"
