"""From settings to connections that nobody can listen to: what the clients of Kafka, Cassandra and Redis are given."""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from famulus.errors import SettingsError
from famulus.security.loopback import beyond_loopback
from famulus.security.transport import client_context
from famulus.settings import Settings, variable_of

_WITH_TLS: Final = ("SSL", "SASL_SSL")
_WITH_LOGIN: Final = ("SASL_PLAINTEXT", "SASL_SSL")


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Protocol, certificates and login, as aiokafka names them. Raises `SettingsError` for what is missing."""
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol in _WITH_TLS:
        options["ssl_context"] = client_context(
            ca_file=settings.kafka_ca_file,
            cert_file=settings.kafka_cert_file,
            key_file=settings.kafka_key_file,
            prefix="FAMULUS_KAFKA",
        )
    if protocol in _WITH_LOGIN:
        password = settings.kafka_password
        if not settings.kafka_username or password is None:
            missing = variable_of("kafka_password" if settings.kafka_username else "kafka_username")
            raise SettingsError(missing, f"not set, but {variable_of('kafka_security_protocol')} is {protocol}")
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": password.get_secret_value(),
        }
    elif settings.kafka_username:
        raise SettingsError(
            variable_of("kafka_security_protocol"),
            f"{protocol} knows no login, but {variable_of('kafka_username')} is set",
        )
    return options if protocol != "PLAINTEXT" else {}


def cassandra_options(settings: Settings) -> dict[str, Any]:
    """Login and TLS, as `famulus.adapters.cassandra` takes them. Raises `SettingsError` for what cannot be used."""
    password = settings.cassandra_password
    return {
        "username": settings.cassandra_username,
        "password": None if password is None else password.get_secret_value(),
        "ssl_context": _cassandra_context(settings),
    }


def redis_url(settings: Settings) -> str | None:
    """The URL with the files of certificates in its query, where its client looks for them."""
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    named = {name: str(path) for name, path in files.items() if path is not None}
    if not named:
        return url
    if not url.startswith("rediss://"):
        raise SettingsError("REDIS_URL", "files for TLS are set, but the URL does not begin with rediss://")
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(named)}"


def plaintext(settings: Settings) -> list[str]:
    """A sentence for each connection that leaves this machine so that others on the way can read it."""
    found = []
    if settings.kafka_security_protocol not in _WITH_TLS:
        hosts = beyond_loopback(_hosts(settings.kafka_brokers))
        if hosts:
            found.append(_told("Kafka", hosts, f"{variable_of('kafka_security_protocol')}=SSL or SASL_SSL"))
    if not settings.cassandra_tls:
        hosts = beyond_loopback(_hosts(settings.cassandra_contact_points))
        if hosts:
            found.append(_told("Cassandra", hosts, f"{variable_of('cassandra_tls')}=1"))
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    if url.startswith("redis://"):
        hosts = beyond_loopback([urlsplit(url).hostname or "localhost"])
        if hosts:
            found.append(_told("Redis", hosts, "a REDIS_URL with rediss://"))
    return found


def _cassandra_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.cassandra_tls:
        return client_context(
            ca_file=settings.cassandra_ca_file,
            cert_file=settings.cassandra_cert_file,
            key_file=settings.cassandra_key_file,
            prefix="FAMULUS_CASSANDRA",
        )
    if settings.cassandra_ca_file or settings.cassandra_cert_file:
        raise SettingsError(variable_of("cassandra_tls"), "not set, but files for TLS are: set it to 1")
    return None


def _hosts(addresses: str | None) -> list[str]:
    """Of ``host:port,[::1]:9042,host``."""
    parts = [part.strip() for part in (addresses or "").split(",") if part.strip()]
    return [part.rpartition(":")[0] if part.count(":") == 1 or "]:" in part else part for part in parts]


def _told(server: str, hosts: list[str], advice: str) -> str:
    return f"what goes to {server} at {', '.join(hosts)} can be read on the way: set {advice}"
