"""Servers that want TLS and a login: a worker, a client and `famulus doctor` get along with them, strangers do not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.certificates import OPENSSL, PASSWORD, Certificates
from support.installation import COMMAND_SECONDS, END_SECONDS, Installation
from support.servers import foreign_environment, settings_of
from support.world import eventually

from famulus.adapters.cassandra import connection
from famulus.adapters.kafka.inspection import inspect
from famulus.client import Famulus
from famulus.errors import BusUnavailableError, SettingsError, StoreUnavailableError
from famulus.stacks import RealStack, cassandra, kafka
from famulus.stacks.ports import LOOPBACK, free_port
from famulus.transports import kafka_options

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.skipif(OPENSSL is None, reason="needs openssl")]

USER = "ada"
SECRET = "open-sesame-17"


@dataclass(frozen=True)
class Closed:
    """Real servers with encrypted doors, and the environment of who may come in."""

    environment: Mapping[str, str]
    valkey_port: int
    certificates: Certificates


@pytest.fixture(scope="module")
def closed(real_stack: RealStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """Servers of their own, beside those of the session: the session's fixture has seen to it that they can be run."""
    folder = tmp_path_factory.mktemp("closed")
    certificates = Certificates(folder / "certificates").make()
    door = free_port()
    with pytest.MonkeyPatch.context() as patch:
        _close_kafka(patch, certificates, door)
        _close_cassandra(patch, certificates)
        with RealStack(folder / "stack") as stack:
            environment = stack.environment()
            port = int(environment["REDIS_URL"].rpartition(":")[2].partition("/")[0])
            yield Closed(
                {
                    **environment,
                    "KAFKA_BROKERS": f"{LOOPBACK}:{door}",
                    "FAMULUS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                    "FAMULUS_KAFKA_SASL_MECHANISM": "PLAIN",
                    "FAMULUS_KAFKA_USERNAME": USER,
                    "FAMULUS_KAFKA_PASSWORD": SECRET,
                    "FAMULUS_KAFKA_CA_FILE": str(certificates.authority),
                    "FAMULUS_CASSANDRA_TLS": "1",
                    "FAMULUS_CASSANDRA_CA_FILE": str(certificates.authority),
                    "FAMULUS_CASSANDRA_USERNAME": "cassandra",
                    "FAMULUS_CASSANDRA_PASSWORD": "cassandra",
                    "FAMULUS_RECORD_KEY": "signed besides being encrypted",
                    "FAMULUS_SESSION_TIMEOUT": "6",
                },
                port,
                certificates,
            )


def _close_kafka(patch: pytest.MonkeyPatch, certificates: Certificates, door: int) -> None:
    open_settings = kafka.broker_settings

    def settings(data: Path, port: int, *, controller_port: int) -> dict[str, str]:
        known = open_settings(data, port, controller_port=controller_port)
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{SECRET}";'
        return {
            **known,
            "listeners": f"{known['listeners']},SASL_SSL://{LOOPBACK}:{door}",
            "advertised.listeners": f"{known['advertised.listeners']},SASL_SSL://{LOOPBACK}:{door}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates.pem_store),
        }

    patch.setattr(kafka, "broker_settings", settings)


def _close_cassandra(patch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    open_settings = cassandra.node_settings

    def settings(data: Path, port: int, *, storage_port: int) -> dict[str, Any]:
        return {
            **open_settings(data, port, storage_port=storage_port),
            "authenticator": "PasswordAuthenticator",
            "authorizer": "CassandraAuthorizer",
            "client_encryption_options": {
                "enabled": True,
                "optional": True,  # for the probe that waits until the node is up
                "keystore": str(certificates.key_store),
                "keystore_password": PASSWORD,
                "store_type": "PKCS12",
            },
        }

    patch.setattr(cassandra, "node_settings", settings)


@asynccontextmanager
async def valkey_behind_tls(closed: Closed) -> AsyncIterator[str]:
    """The wheel's Valkey speaks no TLS: a proxy ends it. The user may touch nothing but keys of famulus."""
    async with Redis(host=LOOPBACK, port=closed.valkey_port, protocol=2) as redis:
        await redis.execute_command("ACL", "SETUSER", USER, "on", f">{SECRET}", "~famulus:*", "+@all", "-@admin")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, closed.valkey_port)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(relay, LOOPBACK, 0, ssl=closed.certificates.server_context())
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"rediss://{USER}:{SECRET}@{LOOPBACK}:{port}/0"
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_a_run_goes_through_encrypted_servers_from_end_to_end(closed: Closed, tmp_path: Path) -> None:
    async with valkey_behind_tls(closed) as url:
        environment = {
            **closed.environment,
            "REDIS_URL": url,
            "FAMULUS_REDIS_CA_FILE": str(closed.certificates.authority),
        }
        installation = Installation(environment, tmp_path)
        await installation.prepare()
        try:
            (worker,) = await installation.start_workers(1)
            async with Famulus.connect(settings_of(installation.environment)) as famulus:
                run = await famulus.start("fan10", run_id="encrypted")
                await run.result()
                await eventually(lambda: joins_are_counted(closed, famulus), within=END_SECONDS)
            await installation.all_completed(["encrypted"])
            doctor = await asyncio.to_thread(_doctor, installation)
            problems, log = worker.problems(), worker.log()
        finally:
            installation.close()
        async with Redis(host=LOOPBACK, port=closed.valkey_port, protocol=2) as redis:
            users = await redis.execute_command("ACL", "LOG")

    assert problems == []
    assert SECRET not in log
    assert {each["about"]: each["state"] for each in doctor if each["state"] == "fail"} == {}
    assert {"kafka", "store", "redis"} <= {each["about"] for each in doctor if each["state"] == "ok"}
    assert not users, "nothing was refused to the user of Valkey"


async def joins_are_counted(closed: Closed, famulus: Famulus) -> bool:
    """Whether Valkey has counted any, after one more run. While a server is slow, runs do without it."""
    await (await famulus.start("fan10")).result()
    async with Redis(host=LOOPBACK, port=closed.valkey_port, protocol=2) as redis:
        told = (await redis.info("commandstats")).get("cmdstat_evalsha", {})
    return bool(told and told["calls"] > told["failed_calls"])


def _doctor(installation: Installation) -> list[dict[str, str]]:
    answer = subprocess.run(
        [sys.executable, "-m", "famulus.cli", "doctor", "--json"],
        env={**foreign_environment(), **installation.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    found: list[dict[str, str]] = json.loads(answer.stdout)
    return found


async def test_without_the_login_or_the_authority_no_server_lets_anybody_in(closed: Closed, tmp_path: Path) -> None:
    good = settings_of(closed.environment)
    other = Certificates(tmp_path / "other").make()
    brokers = good.kafka_brokers or ""

    for changes in (
        {"kafka_password": type(good.kafka_password)("wrong")},  # type: ignore[misc]
        {"kafka_ca_file": other.authority},
    ):
        wrong = good.model_copy(update=changes)
        with pytest.raises(BusUnavailableError):
            await inspect(brokers, [], patience=10, options=kafka_options(wrong))
    await inspect(brokers, [], patience=END_SECONDS, options=kafka_options(good))
    points = good.cassandra_contact_points or ""
    context = kafka_options(good)["ssl_context"]
    foreign = kafka_options(good.model_copy(update={"kafka_ca_file": other.authority}))["ssl_context"]
    with pytest.raises(SettingsError, match="refuses the credentials"):
        await asyncio.to_thread(connection.connect, points, username="cassandra", password="x", ssl_context=context)
    with pytest.raises(StoreUnavailableError):
        await asyncio.to_thread(
            connection.connect, points, username="cassandra", password="cassandra", ssl_context=foreign
        )
    async with valkey_behind_tls(closed) as url:
        for wrong_url in (f"{url}?ssl_ca_certs={other.authority}", url.replace(SECRET, "wrong")):
            async with Redis.from_url(wrong_url, protocol=2) as redis:
                with pytest.raises((RedisError, OSError)):
                    await redis.ping()
