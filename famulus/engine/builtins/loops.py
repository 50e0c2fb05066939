"""`loop-controller`: once more, or out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint.builtins import LoopParams
from famulus.blueprint.loops import CONTINUE
from famulus.blueprint.values import ABSENT, is_true
from famulus.flow.routing import Outcome, OutcomeContext
from famulus.ids import NodeId

if TYPE_CHECKING:
    from famulus.engine.builtins.call import BuiltInCall
    from famulus.flow.facts import Fact
    from famulus.flow.state import RunState

BREAK: Final = "break"


async def control_loop(call: BuiltInCall) -> Fact:
    """Whether it may go round so often is asked when the round begins (`famulus.flow.outcomes`)."""
    params = call.params(LoopParams)
    holds = is_true(params.condition.evaluate(lambda name: _value(call.run, name)))
    return call.succeeded(action=CONTINUE if holds else BREAK)


def _value(run: RunState, name: str) -> Any:
    """The context alone: there is no result yet that could be looked at."""
    value = run.context.get(name, ABSENT)
    if value is ABSENT and name == "context":
        return OutcomeContext(Outcome(run=run, node_id=NodeId(""), output=ABSENT, action=None, changes={}))
    return value
