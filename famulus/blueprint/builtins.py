"""The nodes that the engine brings, and what their params say.

The linter and the engine read params by the same functions, so what the one lets pass the other can carry out. A param
that is null counts as not given, and so does an empty text. Params that a node does not know are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from famulus.blueprint.expressions import Expression, Language, compile_expression
from famulus.blueprint.forms import form_problem
from famulus.blueprint.model import NOTHING, Node
from famulus.blueprint.times import DURATION, TIME, milliseconds_of, seconds_of
from famulus.blueprint.values import shown
from famulus.errors import ExpressionError, ParameterError
from famulus.ids import RUN_ID_PATTERN, BlueprintId, NodeId, RunId, is_run_id

COUNT_MAX: Final = 1_000_000_000
"""Of rounds, items in a chunk, items at the same time, and items that may fail."""

_SHARE: Final = re.compile(r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]{1,9})?)%")


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
    reader = _Reader(node, language)
    params = _READERS[node.uses](reader)
    return ParamsReading(None if reader.problems else params, tuple(reader.problems))


class _Reader:
    """Reads on after a problem, with a harmless value in place of the one that is wrong."""

    def __init__(self, node: Node, language: Language) -> None:
        self.problems: list[ParameterError] = []
        self.language = language
        self._node = node

    def given(self, name: str) -> Any:
        value = self._node.params.get(name)
        return None if value == "" else value

    def problem(self, name: str, problem: str) -> None:
        self.problems.append(ParameterError(self._node.id, name, problem))

    def wrong(self, name: str, found: Any, expected: str) -> None:
        self.problem(name, f"is {shown(found)}, expected {expected}")

    def one_of(self, first: str, second: str, expected: str) -> None:
        """Refuse both of two params, and neither. A missing one is the first of them."""
        if self.given(first) is None and self.given(second) is None:
            self.wrong(first, None, expected)
        elif self.given(first) is not None and self.given(second) is not None:
            self.problem(second, f"is given beside params.{first}, expected one of the two")

    def text(self, name: str, *, expected: str = "a text") -> str | None:
        value = self.given(name)
        if value is None or isinstance(value, str):
            return value
        self.wrong(name, value, expected)
        return None

    def required_text(self, name: str, expected: str) -> str:
        if self.given(name) is None:
            self.wrong(name, None, expected)
        return self.text(name, expected=expected) or ""

    def count(self, name: str, *, least: int = 1) -> int | None:
        value = self.given(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= COUNT_MAX):
            return value
        self.wrong(name, value, f"a whole number from {least} to {COUNT_MAX}")
        return None

    def flag(self, name: str) -> bool:
        value = self.given(name)
        if value is None or isinstance(value, bool):
            return value is True
        self.wrong(name, value, "true or false")
        return False

    def duration(self, name: str) -> int | None:
        value = self.given(name)
        try:
            return None if value is None else milliseconds_of(value)
        except ValueError as error:
            self.problem(name, f"is {shown(value)}, {error}")
            return None

    def time(self, name: str) -> float | None:
        value = self.given(name)
        try:
            return None if value is None else seconds_of(value)
        except ValueError as error:
            self.problem(name, f"is {shown(value)}, {error}")
            return None

    def object(self, name: str, expected: str = "an object") -> Mapping[str, Any] | None:
        value = self.given(name)
        if value is None or isinstance(value, Mapping):
            return value
        self.wrong(name, value, expected)
        return None

    def keys(self, name: str) -> Mapping[str, str] | None:
        """Names of keys, by keys."""
        keys = self.object(name, "an object of texts")
        wrong = [key for key, value in (keys or {}).items() if not isinstance(value, str) or not value]
        for key in wrong:
            self.wrong(f"{name}.{key}", (keys or {})[key], "the name of a key")
        return None if wrong else keys

    def form(self) -> Mapping[str, Any] | None:
        form = self.given("form")
        problem = None if form is None else form_problem(form)
        if problem is None:
            return form if isinstance(form, Mapping) else None
        if isinstance(form, Mapping):
            self.problem("form", problem)
        else:
            self.problem("form", f"is {shown(form)}, {problem}")
        return None

    def condition(self) -> Expression:
        text = self.required_text("condition", "what has to hold for another round")
        try:
            return compile_expression(text or "_", language="path" if not text else self.language)
        except ExpressionError as error:
            self.problem("condition", f"cannot be used: {error}")
            return compile_expression("_", language="path")

    def blueprint_id(self) -> BlueprintId:
        return BlueprintId(self.required_text("blueprintId", "the id of a blueprint"))

    def version(self) -> str | None:
        """Numbers are versions too, as in the metadata."""
        value = self.given("version")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(int(value) if float(value).is_integer() else value)
        return self.text("version", expected="a text or number")

    def tolerated(self) -> int | str:
        value = self.given("toleratedFailures")
        if not isinstance(value, str):
            whole = int(value) if isinstance(value, float) and value.is_integer() else value
            if whole is None:
                return 0
            if isinstance(whole, int) and not isinstance(whole, bool) and 0 <= whole <= COUNT_MAX:
                return whole
        elif _SHARE.fullmatch(value):
            return value
        self.wrong("toleratedFailures", value, 'a whole number from 0, or a share of 0 to 100 such as "10%"')
        return 0


def _sleep(reader: _Reader) -> SleepParams:
    reader.one_of("duration", "until", f"{DURATION}; or params.until: {TIME}")
    return SleepParams(duration_ms=reader.duration("duration"), until=reader.time("until"))


def _wait(reader: _Reader) -> WaitParams:
    return WaitParams(
        signal=reader.text("signal", expected="the name of a signal"),
        timeout_ms=reader.duration("timeout"),
        timeout_action=reader.text("timeoutAction"),
        form=reader.form(),
    )


def _webhook(reader: _Reader) -> WebhookParams:
    return WebhookParams(
        timeout_ms=reader.duration("timeout"), timeout_action=reader.text("timeoutAction"), form=reader.form()
    )


def _loop(reader: _Reader) -> LoopParams:
    return LoopParams(condition=reader.condition(), max_rounds=reader.count("maxRounds"))


def _scatter(reader: _Reader) -> ScatterParams:
    return ScatterParams(
        worker_uses=reader.required_text("workerUsesKey", "the name of the implementation of each item"),
        gather=NodeId(reader.required_text("gatherNodeId", "the id of the batch-gather node")),
        chunk=reader.count("chunkSize"),
    )


def _gather(reader: _Reader) -> GatherParams:
    reader.text("gatherNodeId", expected="the id of the node itself")
    return GatherParams(output_key=reader.text("outputKey", expected="a context key"))


def _map(reader: _Reader) -> MapParams:
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


def _subflow(reader: _Reader) -> SubflowParams:
    return SubflowParams(
        blueprint_id=reader.blueprint_id(),
        version=reader.version(),
        inputs=reader.keys("inputs"),
        outputs=reader.keys("outputs"),
    )


def _start_run(reader: _Reader) -> StartRunParams:
    run_id = reader.text("runId", expected="a run id")
    if run_id is not None and not is_run_id(run_id):
        reader.wrong("runId", run_id, f"a run id, {RUN_ID_PATTERN.pattern}")
    return StartRunParams(
        blueprint_id=reader.blueprint_id(),
        version=reader.version(),
        inputs=reader.keys("inputs"),
        run_id=None if run_id is None else RunId(run_id),
    )


_READERS: Final[Mapping[str, Callable[[_Reader], Params]]] = MappingProxyType(
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
