"""A batch whose answer was lost may be stored at any time: nobody reads the run anew before it is certain."""

from __future__ import annotations

from typing import Any

from support.world import World, blueprint, outputs

from famulus.adapters.memory import MemoryRunStore
from famulus.errors import StoreUnavailableError
from famulus.ids import RunId
from famulus.ports import Commit

CHAIN = blueprint("b", {"a": "value", "b": "value"}, ("a", "b"))


class Doubtful(MemoryRunStore):
    """Leaves the batch of one step unanswered, and its session is given up at that moment."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.calls: list[Any] = []
        self.in_doubt: Commit | None = None

    async def commit(self, commit: Commit) -> None:
        self.calls.append(commit.stamp)
        if self.in_doubt is None and any(step.step_id == "a" for step in commit.steps):
            self.in_doubt = commit
            session = self.world.engines[0].runs.live(RunId("r1"))
            assert session is not None
            session.close()
            raise StoreUnavailableError("no answer")
        await super().commit(commit)

    async def load(self, run_id: RunId) -> Any:
        self.calls.append("load")
        return await super().load(run_id)


async def test_run_is_not_loaded_anew_before_the_batch_in_doubt_is_confirmed() -> None:
    world = World({"value": lambda: 1})
    world.store = store = Doubtful(world)
    world.timers = store.timers
    async with world:
        view = await world.run(CHAIN)

    assert store.in_doubt is not None
    first = store.calls.index(store.in_doubt.stamp)
    again = store.calls.index(store.in_doubt.stamp, first + 1)
    assert "load" not in store.calls[first:again]
    assert outputs(view) == {"a": 1, "b": 1}
