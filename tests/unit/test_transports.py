"""From settings to connections that nobody can listen to."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from support.certificates import OPENSSL, Certificates

from famulus.adapters.faust.worker_settings import worker_settings
from famulus.errors import SettingsError
from famulus.security.transport import client_context
from famulus.settings import Settings
from famulus.transports import cassandra_options, kafka_options, plaintext, redis_url

LOGIN = {"kafka_username": "ada", "kafka_password": "open sesame"}
with_openssl = pytest.mark.skipif(OPENSSL is None, reason="needs openssl")


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).make()


def test_by_default_kafka_is_given_nothing() -> None:
    assert kafka_options(settings()) == {}
    assert worker_settings(brokers="a:1")["broker_credentials"] is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_handed_to_our_clients_and_to_faust(mechanism: str) -> None:
    options = kafka_options(settings(kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism=mechanism, **LOGIN))

    credentials = worker_settings(brokers="a:1", options=options)["broker_credentials"]

    assert options == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "ada",
        "sasl_plain_password": "open sesame",
    }
    assert isinstance(credentials, SASLCredentials)
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_PLAINTEXT", mechanism)
    assert (credentials.username, credentials.password) == ("ada", "open sesame")


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_by_tls_chain_and_name_of_the_broker_are_checked(protocol: str) -> None:
    options = kafka_options(settings(kafka_security_protocol=protocol, **(LOGIN if protocol == "SASL_SSL" else {})))

    context = options["ssl_context"]
    credentials = worker_settings(brokers="a:1", options=options)["broker_credentials"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert isinstance(credentials, SASLCredentials if protocol == "SASL_SSL" else SSLCredentials)
    assert credentials.protocol.value == protocol


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "FAMULUS_KAFKA_USERNAME"),
        ({"kafka_security_protocol": "SASL_SSL", "kafka_username": "ada"}, "FAMULUS_KAFKA_PASSWORD"),
        (LOGIN, "FAMULUS_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "/nowhere"}, "FAMULUS_KAFKA_CA_FILE"),
        ({"kafka_security_protocol": "SSL", "kafka_cert_file": "/nowhere"}, "FAMULUS_KAFKA_CERT_FILE"),
        ({"kafka_security_protocol": "SSL", "kafka_key_file": "/nowhere"}, "FAMULUS_KAFKA_CERT_FILE"),
    ],
)
def test_what_does_not_fit_names_the_variable(given: dict[str, Any], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        kafka_options(settings(**given))


def test_cassandra_is_given_login_and_context() -> None:
    options = cassandra_options(settings(cassandra_username="ada", cassandra_password="x", cassandra_tls=True))

    assert (options["username"], options["password"]) == ("ada", "x")
    assert options["ssl_context"].check_hostname
    assert cassandra_options(settings())["ssl_context"] is None
    with pytest.raises(SettingsError, match="FAMULUS_CASSANDRA_TLS"):
        cassandra_options(settings(cassandra_ca_file="/x"))


def test_files_of_certificates_go_into_the_url_of_redis() -> None:
    url = "rediss://ada:x@h:1/0"

    assert redis_url(settings(redis_url=url)) == url
    assert redis_url(settings(redis_url=url, redis_ca_file="/a b")) == f"{url}?ssl_ca_certs=%2Fa+b"
    assert redis_url(settings(redis_url=f"{url}?db=1", redis_ca_file="/a")) == f"{url}?db=1&ssl_ca_certs=%2Fa"
    with pytest.raises(SettingsError, match="rediss"):
        redis_url(settings(redis_url="redis://h:1/0", redis_ca_file="/a"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"kafka_brokers": "127.0.0.1:1,localhost:2,[::1]:3"}, []),
        ({"kafka_brokers": "127.0.0.1:1,kafka:2"}, ["Kafka at kafka"]),
        ({"kafka_brokers": "kafka:2", "kafka_security_protocol": "SASL_PLAINTEXT", **LOGIN}, ["Kafka at kafka"]),
        ({"kafka_brokers": "kafka:2", "kafka_security_protocol": "SSL"}, []),
        ({"cassandra_contact_points": "10.0.0.1,10.0.0.2:9042"}, ["Cassandra at 10.0.0.1, 10.0.0.2"]),
        ({"cassandra_contact_points": "10.0.0.1", "cassandra_tls": True}, []),
        ({"redis_url": "redis://u:secret@redis:1/0"}, ["Redis at redis"]),
        ({"redis_url": "rediss://redis:1/0"}, []),
        ({"redis_url": "redis://localhost/0"}, []),
    ],
)
def test_what_others_can_read_on_the_way_is_told(given: dict[str, Any], told: list[str]) -> None:
    sentences = plaintext(settings(**given))

    assert len(sentences) == len(told)
    for sentence, words in zip(sentences, told, strict=True):
        assert words in sentence
        assert "secret" not in sentence


@with_openssl
@pytest.mark.parametrize(
    ("trusted", "host", "end"),
    [("its own", "localhost", "good"), ("another", "localhost", "bad"), ("its own", "somewhere.else", "bad")],
)
async def test_a_server_must_show_the_right_certificate(
    certificates: Certificates, tmp_path: Path, trusted: str, host: str, end: str
) -> None:
    authority = certificates if trusted == "its own" else Certificates(tmp_path / "other").make()
    context = client_context(ca_file=authority.authority, cert_file=None, key_file=None, prefix="X")

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificates.server_context())
    port = server.sockets[0].getsockname()[1]
    async with server:
        connecting = asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        if end == "good":
            _, writer = await connecting
            writer.close()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await connecting
