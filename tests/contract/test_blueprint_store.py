"""What every blueprint store promises; see `famulus.ports.BlueprintStore`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from famulus.ids import BlueprintId, Digest
from famulus.ports import StoredBlueprint

if TYPE_CHECKING:
    from conftest import Backend

    from famulus.ports import BlueprintStore

ORDER = BlueprintId("order")


def a_blueprint(
    version: str = "1", *, digest: str = "d1", registered_at: float = 1.5, **changes: Any
) -> StoredBlueprint:
    base = StoredBlueprint(
        blueprint_id=ORDER,
        version=version,
        digest=Digest(digest * 32),
        body=f'{{"id":"order","version":"{version}"}}'.encode(),
        registered_at=registered_at,
    )
    return replace(base, **changes)


async def test_what_is_not_registered_is_not_found(blueprint_store: BlueprintStore) -> None:
    assert await blueprint_store.by_digest(Digest("0" * 64)) is None
    assert await blueprint_store.by_version(ORDER, "1") is None
    assert await blueprint_store.latest(ORDER) is None
    assert list(await blueprint_store.all()) == []


async def test_what_is_put_is_found_by_digest_and_by_version(blueprint_store: BlueprintStore) -> None:
    blueprint = a_blueprint("2026-01 ü'\"", body=b'{"nodes":"' + b"x" * 300_000 + b'"}')

    assert await blueprint_store.put(blueprint) == blueprint

    assert await blueprint_store.by_digest(blueprint.digest) == blueprint
    assert await blueprint_store.by_version(ORDER, blueprint.version) == blueprint
    assert await blueprint_store.by_version(BlueprintId("other"), blueprint.version) is None


async def test_putting_it_again_changes_nothing(blueprint_store: BlueprintStore) -> None:
    blueprint = a_blueprint()
    await blueprint_store.put(blueprint)

    assert await blueprint_store.put(replace(blueprint, registered_at=99.0)) == blueprint

    assert await blueprint_store.by_version(ORDER, "1") == blueprint
    assert len(await blueprint_store.all()) == 1


async def test_the_first_registration_of_a_version_stays(blueprint_store: BlueprintStore) -> None:
    first, other = a_blueprint(digest="d1"), a_blueprint(digest="d2", body=b"{}", registered_at=2.5)
    await blueprint_store.put(first)

    assert await blueprint_store.put(other) == first

    assert await blueprint_store.by_version(ORDER, "1") == first
    assert await blueprint_store.by_digest(first.digest) == first
    assert await blueprint_store.latest(ORDER) == first


async def test_of_many_who_register_a_version_at_once_one_wins(backend: Backend, namespace: str) -> None:
    clients = [await backend.blueprint_store(namespace), await backend.blueprint_store(namespace)]
    offered = [a_blueprint(digest=f"{number:02d}", registered_at=float(number)) for number in range(20)]

    await asyncio.gather(*(clients[at % 2].put(blueprint) for at, blueprint in enumerate(offered)))

    winner = await clients[0].by_version(ORDER, "1")
    assert winner in offered
    # Cassandra may tell two of the same moment that each has won; who asks again hears the same as all others.
    assert [await clients[at % 2].put(blueprint) for at, blueprint in enumerate(offered)] == [winner] * 20


async def test_latest_is_the_version_that_was_registered_last(blueprint_store: BlueprintStore) -> None:
    # Neither the greatest version, nor the last one that was put again.
    for at, version in enumerate(["9", "10", "2"]):
        await blueprint_store.put(a_blueprint(version, digest=f"d{at}", registered_at=float(at)))
    await blueprint_store.put(a_blueprint("9", digest="d0", registered_at=50.0))

    latest = await blueprint_store.latest(ORDER)

    assert latest is not None
    assert latest.version == "2"


async def test_all_are_listed_by_id_and_then_by_registration(blueprint_store: BlueprintStore) -> None:
    refund = BlueprintId("refund")
    await blueprint_store.put(a_blueprint("1", digest="d3", registered_at=3.0, blueprint_id=refund))
    await blueprint_store.put(a_blueprint("2", digest="d2", registered_at=1.0))
    await blueprint_store.put(a_blueprint("1", digest="d1", registered_at=2.0))

    listed = await blueprint_store.all()

    assert [(found.blueprint_id, found.version) for found in listed] == [(ORDER, "2"), (ORDER, "1"), (refund, "1")]
    assert [found.registered_at for found in listed] == [1.0, 2.0, 3.0]


async def test_namespaces_do_not_see_each_other(backend: Backend, namespace: str) -> None:
    here, there = await backend.blueprint_store(namespace), await backend.blueprint_store(f"{namespace}_2")
    await here.put(a_blueprint(digest="d1"))

    assert list(await there.all()) == []
    assert await there.by_version(ORDER, "1") is None
    other = a_blueprint(digest="d2")
    assert await there.put(other) == other
