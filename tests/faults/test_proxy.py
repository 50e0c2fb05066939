"""The proxy does to connections what it says. Everything else in this folder relies on it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import RequestTimedOutError
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.proxy import Direction, Proxy
from support.wires import Cql, Kafka, Message, Resp
from support.world import eventually

from famulus.adapters.cassandra.connection import connect
from famulus.adapters.kafka.topics import TopicSpec, ensure_topics
from famulus.errors import StoreUnavailableError

SHORT = 0.2
"""Long enough for a message over loopback to arrive, if it does."""
ARRIVES_SECONDS = 20.0
"""Until what is to arrive has arrived, whatever else the machine does."""
MESSAGES = 40


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """The address of a server that sends back what it is sent."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def proxy(echo: str) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hears(self, said: bytes, *, within: float = ARRIVES_SECONDS) -> bytes:
        self.writer.write(said)
        async with asyncio.timeout(within):
            return await self.reader.readexactly(len(said))

    async def more(self, size: int) -> bytes:
        async with asyncio.timeout(ARRIVES_SECONDS):
            return await self.reader.readexactly(size)


@pytest.fixture
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    async with client_of(proxy) as client:
        assert await client.hears(b"first") == b"first"
        yield client


@contextlib.asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    try:
        yield client
    finally:
        client.writer.transport.abort()
        await asyncio.sleep(0)


# -- what it does ------------------------------------------------------------------------------------------------------


async def test_it_passes_a_lot_in_both_directions(proxy: Proxy) -> None:
    async with client_of(proxy) as client:
        said = bytes(range(256)) * 20_000

        assert await client.hears(said) == said


async def test_what_is_stalled_arrives_when_it_passes_again(proxy: Proxy, connected: Client) -> None:
    proxy.stall()

    with pytest.raises(TimeoutError):
        await connected.hears(b"stalled", within=SHORT)
    proxy.pass_all()

    assert await connected.more(7) == b"stalled"


@pytest.mark.parametrize("direction", Direction)
async def test_one_direction_stalls_alone(proxy: Proxy, connected: Client, direction: Direction) -> None:
    proxy.stall(direction)

    with pytest.raises(TimeoutError):
        await connected.hears(b"stalled", within=SHORT)


async def test_new_connections_stall_too(proxy: Proxy) -> None:
    proxy.stall()

    async with client_of(proxy) as client:
        with pytest.raises(TimeoutError):
            await client.hears(b"stalled", within=SHORT)


async def test_what_is_delayed_arrives_in_order_and_later(proxy: Proxy, connected: Client) -> None:
    proxy.delay(SHORT, Direction.REPLIES)
    began = time.monotonic()

    connected.writer.write(b"one")
    await asyncio.sleep(0)
    connected.writer.write(b"two")

    assert await connected.more(6) == b"onetwo"
    assert time.monotonic() - began >= SHORT


async def test_a_delay_is_of_each_message_and_not_of_all_together(proxy: Proxy, connected: Client) -> None:
    proxy.delay(SHORT)
    began = time.monotonic()

    for number in range(MESSAGES):
        connected.writer.write(b"%02d" % number)
        await asyncio.sleep(0.01)
    await connected.more(2 * MESSAGES)

    assert time.monotonic() - began < MESSAGES * SHORT, "one after the other"


async def test_a_reset_ends_what_is_connected_and_new_connections_pass(proxy: Proxy, connected: Client) -> None:
    proxy.reset()

    with pytest.raises(ConnectionResetError):
        await connected.reader.read(1)
    async with client_of(proxy) as client:
        assert await client.hears(b"again") == b"again"


async def test_it_refuses_until_it_passes_again(proxy: Proxy, connected: Client) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionResetError):
        await connected.reader.read(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.pass_all()
    async with client_of(proxy) as client:
        assert await client.hears(b"again") == b"again"


async def test_forgotten_connections_stay_silent_and_new_ones_pass(proxy: Proxy, connected: Client) -> None:
    proxy.forget()

    with pytest.raises(TimeoutError):
        await connected.hears(b"forgotten", within=SHORT)
    proxy.pass_all()
    async with client_of(proxy) as client:
        assert await client.hears(b"new") == b"new"
    with pytest.raises(TimeoutError):
        await connected.hears(b"forgotten", within=SHORT)


async def test_it_cuts_in_the_middle_of_a_message(proxy: Proxy, connected: Client) -> None:
    proxy.cut(after=3)

    connected.writer.write(b"broken")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await connected.more(6)
    async with client_of(proxy) as client:
        assert await client.hears(b"whole") == b"whole"


async def test_the_end_of_a_client_is_an_end_for_the_server(proxy: Proxy) -> None:
    async with client_of(proxy) as client:
        assert await client.hears(b"a") == b"a"

    await eventually(lambda: proxy.connections == 0)


async def test_a_server_that_is_away_is_seen_as_a_reset(proxy: Proxy) -> None:
    # Already while it connects, or at the first read.
    with Proxy("127.0.0.1:1") as nowhere, pytest.raises(ConnectionResetError):
        async with client_of(nowhere) as client:
            await client.reader.read(1)


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_command_is_named_wherever_it_is_broken_off() -> None:
    said = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nping\r\n"

    for at in range(len(said)):
        wire = Resp()
        heard = [*wire.requests(said[:at]), *wire.requests(said[at:])]
        assert [message.operation for message in heard] == ["GET", "PING"]
        assert b"".join(message.data for message in heard) == said


def test_a_reply_of_kafka_is_named_after_its_request() -> None:
    wire = Kafka()
    heartbeat, metadata = (
        b"\x00\x00\x00\x08\x00\x0c\x00\x01\x00\x00\x00\x07",
        b"\x00\x00\x00\x08\x00\x03\x00\x01\x00\x00\x00\x08",
    )

    asked = [message.operation for message in wire.requests(heartbeat + metadata)]
    answered = [message.operation for message in wire.replies(b"\0\0\0\4\0\0\0\x08\0\0\0\4\0\0\0\x07")]

    assert asked == ["HEARTBEAT", "METADATA"]
    assert answered == ["METADATA", "HEARTBEAT"]


def test_a_frame_of_cql_is_named_by_its_stream() -> None:
    wire = Cql()
    query = b"\x04\0\0\x05\x07\0\0\0\x0c\0\0\0\x08SELECT 1"

    assert list(wire.requests(query)) == [Message(query, "QUERY", "SELECT 1")]
    assert list(wire.replies(b"\x84\0\0\x05\x08\0\0\0\x00")) == [
        Message(b"\x84\0\0\x05\x08\0\0\0\x00", "QUERY", "SELECT 1")
    ]


# -- with servers ------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
async def test_redis_does_what_it_is_asked_and_the_reply_is_lost(embedded_servers: Mapping[str, str]) -> None:
    address = embedded_servers["REDIS_URL"].removeprefix("redis://").removesuffix("/0")
    with Proxy.resp(address) as proxy:
        async with Redis(port=proxy.port, socket_timeout=1, decode_responses=True) as redis:
            await redis.set("proxied", "before")
            loss = proxy.lose_replies("SET", times=1)

            with contextlib.suppress(RedisError):
                await redis.set("proxied", "after")

            assert loss.lost == 1
            proxy.pass_all()
            assert await redis.get("proxied") == "after"


async def proxied_kafka_takes_records(brokers: str) -> None:
    topic = f"proxied-{time.time_ns()}"
    await ensure_topics(brokers, [TopicSpec(name=topic, partitions=1)])
    with Proxy.kafka(brokers) as proxy:
        # So long the broker has for what is to arrive, and so long takes what is lost.
        async with AIOKafkaProducer(bootstrap_servers=proxy.address, request_timeout_ms=5000) as producer:
            await producer.send_and_wait(topic, b"one")
            assert {each.port for each in producer.client.cluster.brokers()} == {proxy.port}
            loss = proxy.lose_replies("PRODUCE", times=1)

            with pytest.raises(RequestTimedOutError):
                await producer.send_and_wait(topic, b"two")

            assert loss.lost == 1
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(ARRIVES_SECONDS):
        assert [(await consumer.getone()).value for _ in range(2)] == [b"one", b"two"]


@pytest.mark.embedded
async def test_tansu_is_found_again_through_the_proxy(embedded_servers: Mapping[str, str]) -> None:
    await proxied_kafka_takes_records(embedded_servers["KAFKA_BROKERS"])


@pytest.mark.real
async def test_kafka_is_found_again_through_the_proxy(real_servers: Mapping[str, str]) -> None:
    await proxied_kafka_takes_records(real_servers["KAFKA_BROKERS"])


@pytest.mark.real
async def test_cassandra_does_what_it_is_asked_and_one_reply_is_lost(real_servers: Mapping[str, str]) -> None:
    def ask_and_lose(proxy: Proxy) -> None:
        session = connect(proxy.address, request_timeout=ARRIVES_SECONDS)
        try:
            session.execute(
                "CREATE KEYSPACE IF NOT EXISTS proxied "
                "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
            )
            session.execute("CREATE TABLE IF NOT EXISTS proxied.values (id int PRIMARY KEY, text text)")
            write = session.prepare("INSERT INTO proxied.values (id, text) VALUES (?, ?)")
            read = session.prepare("SELECT text FROM proxied.values WHERE id = 1")
            session.execute(write, (1, "before"))
            loss = proxy.lose_replies(matching=lambda message: message.text.startswith("INSERT"), times=1)

            with pytest.raises(OperationTimedOut):
                session.execute(write, (1, "after"), timeout=1.0)

            assert loss.lost == 1
            assert session.execute(read).one() == ("after",)
            session.execute(write, (1, "x" * 500_000))
            assert session.execute(read).one() == ("x" * 500_000,)
            proxy.refuse()
            with pytest.raises(NoHostAvailable):
                session.execute(read)
        finally:
            session.cluster.shutdown()

    with Proxy.cql(real_servers["CASSANDRA_CONTACT_POINTS"]) as proxy:
        await asyncio.to_thread(ask_and_lose, proxy)
        with pytest.raises(StoreUnavailableError):
            await asyncio.to_thread(connect, proxy.address)
