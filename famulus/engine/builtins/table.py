"""Which built-in node does what, by the name in `uses`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from famulus.engine.builtins.batches import gather, map_items, scatter
from famulus.engine.builtins.call import BuiltInCall
from famulus.engine.builtins.loops import control_loop
from famulus.engine.builtins.subflows import run_subflow, start_run
from famulus.engine.builtins.waiting import await_webhook, sleep, wait
from famulus.flow.facts import Fact

BuiltIn: TypeAlias = Callable[[BuiltInCall], Awaitable[Fact]]

TABLE: Final[Mapping[str, BuiltIn]] = MappingProxyType(
    {
        "batch-gather": gather,
        "batch-scatter": scatter,
        "loop-controller": control_loop,
        "map": map_items,
        "sleep": sleep,
        "startRun": start_run,
        "subflow": run_subflow,
        "wait": wait,
        "webhook": await_webhook,
    }
)
