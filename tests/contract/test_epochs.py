"""What every source of epochs promises; see `famulus.ports.Epochs`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.epochs import take_among_others

if TYPE_CHECKING:
    from conftest import Backend


async def test_each_epoch_is_higher_than_the_one_before(backend: Backend, namespace: str) -> None:
    epochs = await backend.epochs(namespace)

    taken = [await epochs.take() for _ in range(5)]

    assert taken == sorted(set(taken))
    assert taken[0] >= 1


async def test_two_clients_take_from_one_counter(backend: Backend, namespace: str) -> None:
    one, other = await backend.epochs(namespace), await backend.epochs(namespace)

    taken = [await client.take() for client in (one, other, one, other, other, one)]

    assert taken == sorted(set(taken))


async def test_no_epoch_is_taken_twice_at_once(backend: Backend, namespace: str) -> None:
    clients = [await backend.epochs(namespace), await backend.epochs(namespace)]

    async def take_in_turn(at: int) -> list[int]:
        return [await take_among_others(clients[at % 2], within=60) for _ in range(4)]

    turns = await asyncio.gather(*(take_in_turn(at) for at in range(8)))

    assert len({epoch for turn in turns for epoch in turn}) == 32
    for turn in turns:
        assert turn == sorted(turn)
    highest = max(epoch for turn in turns for epoch in turn)
    assert await clients[0].take() > highest


async def test_namespaces_count_for_themselves(backend: Backend, namespace: str) -> None:
    here, there = await backend.epochs(namespace), await backend.epochs(f"{namespace}_2")
    first = await there.take()
    for _ in range(3):
        await here.take()

    # Others' epochs skip none of ours: a stamp holds about eight million of them.
    assert await there.take() <= first + 2
