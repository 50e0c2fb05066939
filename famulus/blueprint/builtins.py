"""The nodes that the engine brings, and what their params say.

The linter and the engine read params by the same functions, so what the one lets pass the other can carry out. A param
that is null counts as not given, and so does an empty text. Params that a node does not know are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from famulus.blueprint.expressions import Expression, Language
from famulus.blueprint.model import NOTHING, Node
from famulus.blueprint.params import ParamReader
from famulus.blueprint.times import DURATION, TIME
from famulus.errors import ParameterError
from famulus.ids import RUN_ID_PATTERN, BlueprintId, NodeId, RunId, is_run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepParams:
    """Exactly one of the two is given."""

    duration_ms: int | None = None
    until: float | None = None
    """Seconds since the Unix epoch; it may lie in the past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitParams:
    signal: str | None = None
    """``None``: a resume alone lets it go on."""
    timeout_ms: int | None = None
    timeout_action: str | None = None
    """``None``: the step fails when its time is over."""
    form: Mapping[str, Any] | None = None
    """A JSON Schema that refers to nothing outside of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookParams:
    timeout_ms: int | None = None
    timeout_action: str | None = None
    form: Mapping[str, Any] | None = None
    signed_by: str | None = None
    """Reference to the secret that calls are signed with; ``None``: the URL alone is enough."""
    token_expires_ms: int | None = None
    """From when the step begins to wait; 0: the token is good as long as it waits. ``None``: as the worker is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParams:
    condition: Expression
    """Over the context alone."""
    max_rounds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterParams:
    worker_uses: str
    gather: NodeId
    chunk: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherParams:
    output_key: str | None = None
    """The context key of the list; ``None``: the id of the step alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapParams:
    """Exactly one of `uses` and `blueprint_id` is given."""

    uses: str | None = None
    blueprint_id: BlueprintId | None = None
    version: str | None = None
    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Of each item."""
    max_concurrency: int | None = None
    tolerated_failures: int | str = 0
    """How many items may fail: a number, or a share such as ``10%``."""
    spread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubflowParams:
    blueprint_id: BlueprintId
    version: str | None = None
    inputs: Mapping[str, str] | None = None
    """Key of the child to key of the parent; ``None``: the input of the node goes to each start node of the child."""
    outputs: Mapping[str, str] | None = None
    """Key of the parent to key of the child; ``None``: the output of what is terminal in the child."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRunParams:
    blueprint_id: BlueprintId
    version: str | None = None
    inputs: Mapping[str, str] | None = None
    run_id: RunId | None = None


Params: TypeAlias = (
    SleepParams
    | WaitParams
    | WebhookParams
    | LoopParams
    | ScatterParams
    | GatherParams
    | MapParams
    | SubflowParams
    | StartRunParams
)


@dataclass(frozen=True, slots=True)
class ParamsReading:
    params: Params | None
    """``None`` if there are problems."""
    problems: tuple[ParameterError, ...] = ()


def parse_params(node: Node, *, language: Language = "path") -> Params:
    """The params of a built-in node. Raises the first `ParameterError`.

    ``language`` is that of expressions without a prefix. Raises `KeyError` for a node that is no built-in.
    """
    reading = read_params(node, language=language)
    if reading.params is None:
        raise reading.problems[0]
    return reading.params


def read_params(node: Node, *, language: Language = "path") -> ParamsReading:
    """As `parse_params`, with every problem."""
    reader = ParamReader(node, language)
    params = _READERS[node.uses](reader)
    return ParamsReading(None if reader.problems else params, tuple(reader.problems))


def _sleep(reader: ParamReader) -> SleepParams:
    reader.one_of("duration", "until", f"{DURATION}; or params.until: {TIME}")
    return SleepParams(duration_ms=reader.duration("duration"), until=reader.time("until"))


def _wait(reader: ParamReader) -> WaitParams:
    return WaitParams(
        signal=reader.text("signal", expected="the name of a signal"),
        timeout_ms=reader.duration("timeout"),
        timeout_action=reader.text("timeoutAction"),
        form=reader.form(),
    )


def _webhook(reader: ParamReader) -> WebhookParams:
    return WebhookParams(
        timeout_ms=reader.duration("timeout"),
        timeout_action=reader.text("timeoutAction"),
        form=reader.form(),
        signed_by=reader.secret("signedBy"),
        token_expires_ms=reader.duration("tokenExpires"),
    )


def _loop(reader: ParamReader) -> LoopParams:
    return LoopParams(condition=reader.condition(), max_rounds=reader.count("maxRounds"))


def _scatter(reader: ParamReader) -> ScatterParams:
    return ScatterParams(
        worker_uses=reader.required_text("workerUsesKey", "the name of the implementation of each item"),
        gather=NodeId(reader.required_text("gatherNodeId", "the id of the batch-gather node")),
        chunk=reader.count("chunkSize"),
    )


def _gather(reader: ParamReader) -> GatherParams:
    reader.text("gatherNodeId", expected="the id of the node itself")
    return GatherParams(output_key=reader.text("outputKey", expected="a context key"))


def _map(reader: ParamReader) -> MapParams:
    reader.one_of("uses", "blueprintId", "the name of the implementation of each item, or params.blueprintId")
    child = reader.text("blueprintId", expected="the id of a blueprint")
    return MapParams(
        uses=reader.text("uses", expected="the name of the implementation of each item"),
        blueprint_id=None if child is None else BlueprintId(child),
        version=reader.version(),
        params=reader.object("params") or NOTHING,
        max_concurrency=reader.count("maxConcurrency"),
        tolerated_failures=reader.tolerated(),
        spread=reader.flag("spread"),
    )


def _subflow(reader: ParamReader) -> SubflowParams:
    return SubflowParams(
        blueprint_id=reader.blueprint_id(),
        version=reader.version(),
        inputs=reader.keys("inputs"),
        outputs=reader.keys("outputs"),
    )


def _start_run(reader: ParamReader) -> StartRunParams:
    run_id = reader.text("runId", expected="a run id")
    if run_id is not None and not is_run_id(run_id):
        reader.wrong("runId", run_id, f"a run id, {RUN_ID_PATTERN.pattern}")
    return StartRunParams(
        blueprint_id=reader.blueprint_id(),
        version=reader.version(),
        inputs=reader.keys("inputs"),
        run_id=None if run_id is None else RunId(run_id),
    )


_READERS: Final[Mapping[str, Callable[[ParamReader], Params]]] = MappingProxyType(
    {
        "batch-gather": _gather,
        "batch-scatter": _scatter,
        "loop-controller": _loop,
        "map": _map,
        "sleep": _sleep,
        "startRun": _start_run,
        "subflow": _subflow,
        "wait": _wait,
        "webhook": _webhook,
    }
)
BUILT_INS: Final = frozenset(_READERS)
"""Names in `uses` that the engine brings."""
