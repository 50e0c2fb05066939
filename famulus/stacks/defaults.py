"""With no broker configured, the embedded stack: started where it does not run, and left running for other workers."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import SecretStr

from famulus.settings import Settings
from famulus.stacks.embedded import EmbeddedStack

log = logging.getLogger(__name__)


def with_servers(settings: Settings) -> Settings:
    """The settings as they are if they name a broker; else with the addresses of the embedded stack, which runs then.

    A Redis URL or contact points that are set are kept.
    """
    if not settings.is_embedded:
        return settings
    addresses = EmbeddedStack(settings.data_dir).up()
    log.info(
        "no KAFKA_BROKERS: using the embedded stack in %s (famulus stack status --embedded)",
        settings.data_dir,
        extra={"action": "embedded_stack_used"},
    )
    return settings.model_copy(
        update={
            "kafka_brokers": addresses["KAFKA_BROKERS"],
            "redis_url": settings.redis_url or SecretStr(addresses["REDIS_URL"]),
            "sqlite_path": settings.sqlite_path or Path(addresses["FAMULUS_SQLITE_PATH"]),
            "embedded": True,
        }
    )
