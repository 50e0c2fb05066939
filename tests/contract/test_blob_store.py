"""What every store of large values promises; see `famulus.ports.BlobStore`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from famulus.ids import RunId

if TYPE_CHECKING:
    from conftest import Backend

RUN = RunId("order-17")
DIGEST = "ab" * 32
PIECE = bytes(range(256)) * 2048
"""Half a megabyte, of every byte there is."""


async def test_a_piece_is_found_by_run_digest_and_index(backend: Backend, namespace: str) -> None:
    blobs = await backend.blob_store(namespace)

    await asyncio.gather(*(blobs.put(RUN, DIGEST, index, PIECE[index:]) for index in range(20)))

    assert [await blobs.get(RUN, DIGEST, index) for index in range(20)] == [PIECE[index:] for index in range(20)]
    assert await blobs.get(RUN, DIGEST, 20) is None
    assert await blobs.get(RUN, "cd" * 32, 0) is None
    assert await blobs.get(RunId("order-18"), DIGEST, 0) is None


async def test_a_piece_that_is_stored_again_stays_as_it_is(backend: Backend, namespace: str) -> None:
    one, other = await backend.blob_store(namespace), await backend.blob_store(namespace)

    await one.put(RUN, DIGEST, 0, PIECE)
    await other.put(RUN, DIGEST, 0, PIECE)

    assert await one.get(RUN, DIGEST, 0) == PIECE
    assert await other.get(RUN, DIGEST, 0) == PIECE


async def test_namespaces_do_not_see_each_other(backend: Backend, namespace: str) -> None:
    here, there = await backend.blob_store(namespace), await backend.blob_store(f"{namespace}_2")

    await here.put(RUN, DIGEST, 0, b"here")

    assert await there.get(RUN, DIGEST, 0) is None


async def test_an_empty_piece_is_a_piece(backend: Backend, namespace: str) -> None:
    blobs = await backend.blob_store(namespace)

    await blobs.put(RUN, DIGEST, 0, b"")

    assert await blobs.get(RUN, DIGEST, 0) == b""
