"""Every setting of famulus, in one class.

Taken from the environment, then from a `.env` file, then from the defaults. With none of the four server addresses
set, everything runs on the embedded stack.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from famulus.blueprint.codec import EDGES_MAX, NODES_MAX
from famulus.errors import SettingsError
from famulus.security.proxies import networks
from famulus.security.scopes import Scope

Names = Annotated[tuple[str, ...], NoDecode]
"""A list, written with commas."""

PREFIX: Final = "FAMULUS_"
SECRETS: Final = frozenset({"hook_secret", "record_key", "cassandra_password", "kafka_password", "REDIS_URL"})
SECRET_CHARACTERS_MIN: Final = 16
PASSWORD_CHARACTERS_MIN: Final = 12
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", populate_by_name=True, frozen=True
    )

    # -- servers -----------------------------------------------------------------------------------------------------
    kafka_brokers: str | None = Field(
        None, validation_alias="KAFKA_BROKERS", description="host:port,... of Kafka; unset: the embedded broker"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = Field(None, description="certificates that are trusted; unset: those of the system")
    kafka_cert_file: Path | None = Field(None, description="certificate of ours, where the broker asks for one")
    kafka_key_file: Path | None = Field(None, description="its key, where it is not in the same file")
    cassandra_contact_points: str | None = Field(
        None, validation_alias="CASSANDRA_CONTACT_POINTS", description="host[:port],...; unset: SQLite"
    )
    cassandra_datacenter: str = Field("datacenter1", validation_alias="CASSANDRA_DATACENTER")
    cassandra_keyspace: str = "famulus"
    cassandra_username: str | None = None
    cassandra_password: SecretStr | None = None
    cassandra_tls: bool = Field(default=False, description="connect by TLS, and check the name of the host")
    cassandra_ca_file: Path | None = Field(
        None, description="certificates that are trusted; unset: those of the system"
    )
    cassandra_cert_file: Path | None = Field(None, description="certificate of ours, where the node asks for one")
    cassandra_key_file: Path | None = Field(None, description="its key, where it is not in the same file")
    cassandra_replication: int = Field(1, ge=1, description="copies, when `schema migrate` makes the keyspace")
    redis_url: SecretStr | None = Field(
        None, validation_alias="REDIS_URL", description="redis:// or rediss://; unset: see docs/reference/settings.md"
    )
    redis_ca_file: Path | None = Field(
        None, description="certificates that are trusted with rediss://; unset: those of the system"
    )
    redis_cert_file: Path | None = Field(None, description="certificate of ours, where the server asks for one")
    redis_key_file: Path | None = Field(None, description="its key, where it is not in the same file")

    # -- topics ------------------------------------------------------------------------------------------------------
    group: str = Field("famulus", description="consumer group, and the Faust application id")
    jobs_topic: str = "famulus.jobs"
    items_topic: str = Field("famulus.items", description="items of a `map` with `spread`, for any worker")
    events_topic: str = "famulus.events"
    dead_letters_topic: str = "famulus.dead-letters"
    partitions: int = Field(8, ge=1, le=10_000, description="of topics that are created; others stay as they are")
    replication_factor: int = Field(1, ge=1)
    session_timeout: float = Field(10.0, gt=0, description="seconds until a dead worker's partitions move")

    # -- what runs ---------------------------------------------------------------------------------------------------
    nodes: Names = Field((), description="modules with node implementations, with commas")
    blueprints: Names = Field((), description="files or folders of blueprints, registered at start, with commas")
    secrets_dir: Path | None = Field(
        None, description="folder with a file for each secret, besides variables FAMULUS_SECRET_<NAME>"
    )
    namespace: str = Field("default", description="keeps the runs of several installations apart in one store")
    worker: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", description="name in rows")
    missing_implementation: Literal["fail", "park"] = "park"

    # -- limits ------------------------------------------------------------------------------------------------------
    concurrency: int = Field(256, ge=1, description="steps that run at the same time in a worker")
    concurrency_per_run: int = Field(64, ge=1, description="of these, steps of one run")
    threads: int = Field(16, ge=1, description="of these, `def` nodes")
    processes: int | None = Field(None, ge=1, description="of these, CPU-bound nodes; unset: one for each CPU")
    max_record_bytes: int = Field(1_000_000, ge=1)
    max_value_bytes: int = Field(
        67_108_864, ge=1, description="largest output, context value or input, as JSON; what is larger fails its step"
    )
    claim_bytes: int = Field(
        262_144, ge=1024, le=4_194_304, description="larger values are kept apart from the rows, in pieces"
    )
    starts: int = Field(64, ge=1, description="runs that are being started at the same time")
    intake_records: int = Field(16_384, ge=1, description="records of the jobs topic that are handled at the same time")
    intake_window: int = Field(50_000, ge=1, description="records handled or waiting for an earlier one's end")
    taken_seconds: float = Field(2.0, gt=0, description="a step that runs longer is recorded as running")
    announce_seconds: float = Field(
        0.01, ge=0, description="hints and events wait so long; a step over by then needs none"
    )
    handover_seconds: float = Field(10.0, gt=0, description="the record of a step that runs longer is acknowledged")
    max_steps: int = Field(100_000, ge=1, description="steps that one run may start; beyond that it fails")
    max_rounds: int = Field(10_000, ge=0, description="rounds of one loop; beyond that its controller fails")
    max_items: int = Field(100_000, ge=1, description="items of one batch; beyond that its step fails")
    max_nodes: int = Field(20_000, ge=1, le=NODES_MAX, description="of a blueprint that is registered")
    max_edges: int = Field(100_000, ge=1, le=EDGES_MAX, description="of a blueprint that is registered")
    items_at_once: int = Field(256, ge=1, description="items under way of a batch that sets no limit of its own")
    item_patience_seconds: float = Field(
        60.0, gt=0, description="an item sent to other workers and not heard of for so long is sent again"
    )
    crash_budget: int = Field(
        3, ge=1, description="a step that ended its process so often, running alone in quarantine, is parked"
    )
    quarantine_seconds: float = Field(
        30.0, gt=0, description="a step in quarantine that has run so long lets the next one have its turn"
    )
    max_subflow_depth: int = Field(16, ge=0, description="how deep child runs may be nested")
    reconcile_seconds: float = Field(15.0, gt=0, description="how often open runs are looked after")
    timer_in_memory_seconds: float = Field(
        5.0, gt=0, description="a run that waits longer than that sleeps in the store and takes no memory"
    )
    timer_lookahead_seconds: float = Field(
        4.0, ge=0, description="runs are loaded so long before something of them is due"
    )
    child_look_seconds: float = Field(
        600.0, gt=0, description="a run that sleeps while it waits for child runs looks at them about so often"
    )
    timer_poll_seconds: float = Field(1.0, gt=0, description="how often is looked for runs of which something is due")
    dead_letter_seconds: float = Field(
        7_776_000.0, gt=0, description="dead letters are kept so long in SQLite; Cassandra: `default_time_to_live`"
    )
    drain_seconds: float = Field(10.0, ge=0, description="running steps may take so long to end on SIGTERM")

    # -- watchdog ----------------------------------------------------------------------------------------------------
    watch_seconds: float = Field(5.0, gt=0, description="how often a worker looks whether all is well with itself")
    watch_patience_seconds: float = Field(
        30.0, gt=0, description="what stands still for so long has the consumer restarted; again so long: exit code 70"
    )
    loop_alarm_seconds: float = Field(5.0, gt=0, description="an event loop blocked for so long is told in the log")
    loop_dead_seconds: float = Field(
        120.0, gt=0, description="a worker whose event loop is blocked for so long ends with exit code 70"
    )

    # -- the rest ----------------------------------------------------------------------------------------------------
    data_dir: Path = Field(Path(".famulus"), description="of the embedded stack")
    embedded: bool = Field(default=False, description="the broker is the embedded one: shorter timeouts")
    sqlite_path: Path | None = Field(None, description="default: famulus.db in the data folder")
    web_host: str = "127.0.0.1"
    web_port: int = Field(6066, ge=1, le=65535, description="not set: the first free one from the default on")
    insecure: bool = Field(
        default=False, description="the views may listen on more than loopback though FAMULUS_AUTH is off"
    )
    auth: Literal["on", "off"] = Field(
        "off", description="on: every view asks for a token or a login; off is for loopback alone"
    )
    session_seconds: float = Field(12 * 3600.0, gt=0, description="how long a browser stays logged in")
    auth_failures: int = Field(
        10, ge=1, description="wrong tokens of one client in a minute; beyond that it has to wait"
    )
    trusted_proxies: Names = Field(
        (), description="addresses or networks of proxies whose X-Forwarded headers are believed, with commas"
    )
    proxy_roles: Names = Field(
        ("famulus-viewer=viewer", "famulus-operator=operator", "famulus-admin=admin"),
        description="what the groups in X-Forwarded-Groups may do: group=viewer|operator|admin, with commas",
    )
    public_url: str | None = Field(
        None, description="where the HTTP API is reached from outside, for webhooks; default: the web host and port"
    )
    hook_secret: SecretStr | None = Field(
        None, description="makes the tokens of webhooks; unset: one that is made once and kept in the store"
    )
    hook_token_seconds: float = Field(
        604_800.0,
        ge=0,
        description="life of the token of a webhook with neither `tokenExpires` nor `timeout`; 0: while it waits",
    )
    record_key: SecretStr | None = Field(
        None,
        description="signs records, and those without a signature are refused; several with commas: the first signs",
    )
    web_max_body_bytes: int = Field(1_000_000, ge=1)
    prometheus: bool = Field(default=False, description="serve /metrics (extra `prometheus`)")
    otel: bool = Field(default=False, description="take part in OpenTelemetry traces (extra `otel`)")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings. Raises `SettingsError` that names the variable of the first wrong one."""
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            variable = name if name.isupper() else variable_of(name)
            shown = "" if name in SECRETS else f", got {first.get('input')!r}"
            raise SettingsError(variable, f"{first['msg']}{shown}") from error

    @property
    def max_claimed_bytes(self) -> int:
        """The largest record of which only a claim is on the jobs topic: some large value, and what is around it."""
        return self.max_value_bytes + self.max_record_bytes

    @property
    def is_embedded(self) -> bool:
        """Nothing is configured: broker, Valkey and SQLite of the embedded stack."""
        return self.kafka_brokers is None

    @property
    def database_path(self) -> Path:
        return self.sqlite_path or self.data_dir / "famulus.db"

    @field_validator("nodes", "blueprints", "trusted_proxies", "proxy_roles", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @field_validator("proxy_roles", mode="after")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            group, equals, scope = text.rpartition("=")
            if not (group and equals) or scope not in tuple(Scope):
                raise ValueError(f"{text!r} is not group=scope with one of {', '.join(Scope)}")
        return value

    @field_validator("kafka_brokers", "cassandra_contact_points", mode="after")
    @classmethod
    def _addresses(cls, value: str | None) -> str | None:
        for address in (value or "").split(","):
            _, colon, port = address.strip().rpartition(":")
            if colon and not port.isdigit():
                raise ValueError(f"{address.strip()!r} is not host:port")
        return value or None

    @field_validator("redis_url", mode="after")
    @classmethod
    def _url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("the URL must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("public_url", mode="after")
    @classmethod
    def _web_url(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("the URL must begin with http:// or https://")
        return value or None

    @field_validator("hook_secret", mode="after")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value.get_secret_value()) < SECRET_CHARACTERS_MIN:
            raise ValueError(f"a secret of fewer than {SECRET_CHARACTERS_MIN} characters can be guessed")
        return value

    @field_validator("record_key", mode="after")
    @classmethod
    def _each_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        keys = [key.strip() for key in value.get_secret_value().split(",")] if value is not None else []
        if not any(keys):
            return None
        if any(len(key) < SECRET_CHARACTERS_MIN for key in keys):
            raise ValueError(f"a key of fewer than {SECRET_CHARACTERS_MIN} characters can be guessed")
        return value

    @field_validator("cassandra_keyspace", "namespace", mode="after")
    @classmethod
    def _identifier(cls, value: str) -> str:
        if _IDENTIFIER.fullmatch(value) is None:
            raise ValueError(f"expected {_IDENTIFIER.pattern}")
        return value


def variable_of(field: str) -> str:
    """The environment variable that sets a field."""
    alias = Settings.model_fields[field].validation_alias if field in Settings.model_fields else None
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"


def passwords(settings: Settings) -> list[str]:
    """What is secret in the settings, and too long to be a word that texts have anyway."""
    values = [value for name in Settings.model_fields if isinstance(value := getattr(settings, name), SecretStr)]
    parts = [part for value in values for part in _passwords_in(value.get_secret_value())]
    return [part for part in parts if len(part) >= PASSWORD_CHARACTERS_MIN]


def _passwords_in(text: str) -> list[str]:
    """Of a URL its password, of a list every entry."""
    if "://" in text:
        found = urlsplit(text).password
        return [unquote(found)] if found else []
    return [part.strip() for part in text.split(",")]


def explain(settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value, origin) of every setting; secrets are masked, passwords in URLs too."""
    from_file = _file_variables()
    return [
        (variable, _masked(variable, getattr(settings, name)), _origin(variable, from_file))
        for name, variable in ((name, variable_of(name)) for name in Settings.model_fields)
    ]


def _origin(variable: str, from_file: frozenset[str]) -> str:
    if variable in os.environ:
        return "environment"
    return ".env file" if variable in from_file else "default"


def _file_variables() -> frozenset[str]:
    path = Path(".env")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(line.split("=", 1)[0].removeprefix("export ").strip() for line in lines if "=" in line)


def _masked(variable: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return re.sub(r"(?<=://)[^@/]*@", "***@", secret) if variable == "REDIS_URL" else "***"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
