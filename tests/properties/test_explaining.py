"""Whatever becomes of a run, it is said what it waits for: of every step that has not ended, at every moment."""

from __future__ import annotations

from random import Random

import pytest
from support.wild import WildPlay, wild_document

from famulus.engine.explaining.knowledge import History, Surroundings
from famulus.engine.explaining.reasons import explain
from famulus.errors import BlueprintError
from famulus.flow.status import RUN_ENDED
from famulus.ids import NodeId

MOST_ITEMS = 20


class Explained(WildPlay):
    """After each fact the run is explained."""

    moments = 0

    def check(self) -> None:
        super().check()
        run, self.moments = self.run, self.moments + 1
        explanation = explain(run, History(), Surroundings())
        kinds = {each.kind for each in explanation.of_run}
        said = {each.step_id for each in explanation.of_steps}
        assert all(each.sentence(str) for each in (*explanation.of_run, *explanation.of_steps))
        if run.status in RUN_ENDED:
            assert (kinds, said) == ({"ended"}, set())
            return
        assert "nothing_live" not in kinds
        live = {step.step_id for step in run.steps.values() if step.is_live and step.item is None}
        assert live <= said
        undecided = {run.step_id_of(NodeId(node_id)) for node_id in run.join_nodes.values()} - set(run.steps)
        if run.ending is None:
            assert undecided <= said, (undecided - said, run.joins, run.calls)


@pytest.mark.parametrize("hundred", range(2))
def test_every_run_is_explained_at_every_moment(hundred: int) -> None:
    moments = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        random = Random(seed)
        try:
            play = Explained(wild_document(random), random=random)
        except BlueprintError:
            continue
        play.to_the_end()
        moments += play.moments

    assert moments > 500
