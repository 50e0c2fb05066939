"""The settings of Faust under which records neither get lost nor stuck. Each line that is not obvious says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from faust.auth import Credentials, SASLCredentials, SSLCredentials

WEEK_SECONDS: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTimeouts:
    """How fast a group of workers notices who is gone, and how fast it starts."""

    session: float
    """A worker that was killed is replaced after this."""
    rebalance: float
    heartbeat: float


REAL_TIMEOUTS: Final = GroupTimeouts(session=10.0, rebalance=10.0, heartbeat=1.0)
EMBEDDED_TIMEOUTS: Final = GroupTimeouts(session=2.0, rebalance=2.0, heartbeat=0.5)
"""The embedded broker starts a group after half a session and a second; below two seconds it drops live workers."""

RAW_TOPIC: Final[dict[str, Any]] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}
"""Arguments of `app.topic`: a topic with types drops what it cannot decode and restarts its agent each time."""


def worker_settings(
    *,
    brokers: str,
    timeouts: GroupTimeouts = REAL_TIMEOUTS,
    linger_seconds: float = 0.005,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keyword arguments for `faust.App`; the caller adds its id, folders, web server and what else is its own.

    Options are those of the connection, as aiokafka takes them.
    """
    return {
        "broker": [f"kafka://{broker.strip()}" for broker in brokers.split(",")],
        "broker_credentials": _credentials(options or {}),
        "processing_guarantee": "at_least_once",  # exactly_once covers Kafka alone, at a third of the speed
        # A worker that does not poll for this long leaves its group and never comes back; full buffers are enough.
        "broker_max_poll_interval": WEEK_SECONDS,
        # True makes a rebalance wait for running records, which then run again on another worker, and so on.
        "stream_wait_empty": False,
        "broker_session_timeout": timeouts.session,
        "broker_rebalance_timeout": timeouts.rebalance,
        "broker_heartbeat_interval": timeouts.heartbeat,
        "broker_commit_interval": 1.0,
        # These two only log, and take a full buffer for an error.
        "stream_processing_timeout": WEEK_SECONDS,
        "broker_commit_livelock_soft_timeout": WEEK_SECONDS,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": 10_000,  # how long a new topic or partition stays unseen
        "producer_acks": -1,
        "producer_linger": linger_seconds,
        # Also how long a record waits for a broker that is away. What fails is sent again by who had sent it.
        "producer_request_timeout": 20.0,
        "topic_disable_leader": True,  # no topic for the election of a leader: owners of partitions do the work
        # What a topic or table of somebody says nothing of: `pickle` would run whatever comes.
        "key_serializer": "raw",
        "value_serializer": "json",
        "web_router_enabled": False,
        "web_tables_enabled": False,
    }


def _credentials(options: Mapping[str, Any]) -> Credentials | None:
    """As Faust has them, for its consumers and its producer."""
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return None if context is None else SSLCredentials(context)
