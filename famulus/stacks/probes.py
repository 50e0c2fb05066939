"""Asks a server whether it is ready for clients. Each probe answers yes or no within a second and raises nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

import redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from famulus.stacks.ports import LOOPBACK

TIMEOUT_SECONDS: Final = 1.0
# Version 4, no flags, stream 0, opcode OPTIONS, empty body; the answer is version 4 with the response bit, opcode
# SUPPORTED (native_protocol_v4.spec, sections 2 and 4).
CQL_OPTIONS: Final = bytes.fromhex("04 00 0000 05 00000000")
CQL_HEADER_BYTES: Final = 9
CQL_RESPONSE_V4: Final = 0x84
CQL_SUPPORTED: Final = 0x06


def redis_answers(port: int) -> bool:
    with redis.Redis(host=LOOPBACK, port=port, socket_timeout=TIMEOUT_SECONDS) as client, suppress(redis.RedisError):
        return bool(client.ping())
    return False


def kafka_answers(port: int) -> bool:
    """Say whether the broker describes its cluster; call it where no event loop runs."""
    # aiokafka logs an error for each refused connection, so it is asked only once somebody listens.
    return _listens(port) and asyncio.run(_describes_cluster(port))


def cassandra_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(CQL_OPTIONS)
        header = connection.recv(CQL_HEADER_BYTES, socket.MSG_WAITALL)
        return len(header) == CQL_HEADER_BYTES and header[0] == CQL_RESPONSE_V4 and header[4] == CQL_SUPPORTED
    return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=TIMEOUT_SECONDS):
        return True
    return False


async def _describes_cluster(port: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=f"{LOOPBACK}:{port}", request_timeout_ms=int(TIMEOUT_SECONDS * 1000))
    try:
        await admin.start()  # type: ignore[no-untyped-call]  # aiokafka annotates it in part
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()  # type: ignore[no-untyped-call]  # likewise
    return bool(cluster["brokers"])
