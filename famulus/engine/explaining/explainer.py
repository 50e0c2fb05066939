"""Explaining a run: its rows, its events, its children, and what live servers say, put before the pure reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from famulus.engine.explaining.explanation import Explanation, RunExplanation
from famulus.engine.explaining.knowledge import History, PartitionFacts, Surroundings, TurnFacts
from famulus.engine.explaining.of_run import partition_trouble
from famulus.engine.explaining.reasons import explain
from famulus.engine.explaining.states import States
from famulus.errors import RunNotFoundError
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.flow.tasks import task_of
from famulus.flow.waiting import ForChild

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from famulus.engine.catalog import Catalog
    from famulus.engine.reading import RunReader
    from famulus.flow.state import RunState
    from famulus.ids import RunId, StepId
    from famulus.ports import RunStore

EVENTS_PAGE: Final = 1000


class LiveSource(Protocol):
    """What only live servers know. Nothing here raises, and nothing waits long: what cannot be had is unknown."""

    async def partition_of(self, run_id: RunId) -> PartitionFacts | None: ...

    async def turns(self, uses: Sequence[str]) -> Mapping[str, TurnFacts]:
        """Of those of the implementations that have limits in use."""
        ...

    def at_work(self, run_id: RunId) -> Container[StepId] | None:
        """Steps of the run that have an attempt in this process; ``None``: it is not this worker's."""
        ...

    def registered(self, run_id: RunId) -> Container[str] | None:
        """Implementations of the worker that owns the run."""
        ...


class Letters(Protocol):
    """Where it is known which records have become dead letters."""

    async def of_run(self, run_id: RunId) -> Sequence[Explanation]: ...


class NothingLive:
    """For who looks at rows alone."""

    async def partition_of(self, run_id: RunId) -> PartitionFacts | None:  # noqa: ARG002
        return None

    async def turns(self, uses: Sequence[str]) -> Mapping[str, TurnFacts]:  # noqa: ARG002
        return {}

    def at_work(self, run_id: RunId) -> Container[StepId] | None:  # noqa: ARG002
        return None

    def registered(self, run_id: RunId) -> Container[str] | None:  # noqa: ARG002
        return None


class Explainer:
    def __init__(
        self,
        store: RunStore,
        catalog: Catalog,
        reader: RunReader,
        *,
        live: LiveSource | None = None,
        letters: Letters | None = None,
    ) -> None:
        self._store = store
        self._states = States(store, catalog)
        self._reader = reader
        self._live = live or NothingLive()
        self._letters = letters

    async def explain(self, run_id: RunId) -> RunExplanation:
        """Why the run stands where it stands; also of a run that is not recorded.

        Raises `BlueprintNotFoundError` where the blueprint of the run is gone.
        """
        run = await self._states.of(run_id)
        if run is None:
            return await self._unknown(run_id)
        history = History()
        if run.status in RUN_ENDED:
            return explain(run, history, Surroundings())
        await self._read(run_id, history)
        return explain(run, history, await self._surroundings(run))

    async def _read(self, run_id: RunId, history: History) -> None:
        after = -1
        try:
            while page := await self._reader.events(run_id, after=after, limit=EVENTS_PAGE):
                history.take(page)
                after = page[-1].seq
        except RunNotFoundError:  # its rows have expired meanwhile
            return

    async def _surroundings(self, run: RunState) -> Surroundings:
        run_id = run.run_id
        live = [step for step in run.steps.values() if step.is_live]
        children = [step.waiting_for.run_id for step in live if isinstance(step.waiting_for, ForChild)]
        heads = await self._store.heads(children) if children else {}
        scheduled = {task_of(run, step).uses for step in live if step.status is not StepStatus.WAITING}
        return Surroundings(
            partition=await self._live.partition_of(run_id),
            children={child: head.status for child, (_, head) in heads.items()},
            turns=await self._live.turns(sorted(scheduled)),
            at_work=self._live.at_work(run_id),
            registered=self._live.registered(run_id),
        )

    async def _unknown(self, run_id: RunId) -> RunExplanation:
        letters = () if self._letters is None else await self._letters.of_run(run_id)
        trouble = tuple(partition_trouble(await self._live.partition_of(run_id)))
        unknown = Explanation(
            kind="unknown_run",
            awaits=("no run of this id is recorded",),
            moves=() if letters or trouble else ("it was never started, or its rows have expired",),
        )
        return RunExplanation(run_id=run_id, status=None, of_run=(unknown, *letters, *trouble))
