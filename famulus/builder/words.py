"""The words of nodes and edges in Python, and what they are in the JSON.

Each word is said once, here: the calls of the builder take them by these types, and make JSON of them by these tables.
What is no value for a word is left as it is: the codec names it, with the path in the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypedDict

Seconds: TypeAlias = float | timedelta
Errors: TypeAlias = Sequence[str | type[BaseException]]
MILLISECONDS: Final = 1000


class ConfigWords(TypedDict, total=False):
    """How a node is tried and joined, and what follows its failure. See docs/reference/blueprints.md."""

    retries: int
    """After the first attempt; `maxRetries` of the JSON counts that one too."""
    retry_delay: Seconds | None
    retry_backoff: float | None
    retry_delay_max: Seconds | None
    retry_jitter: float | None
    retry_on: Errors | None
    """Error classes, or their names."""
    never_retry_on: Errors | None
    timeout: Seconds | None
    """Of one attempt."""
    total_timeout: Seconds | None
    heartbeat: Seconds | None
    fallback: str | None
    """The id of another node, as is the compensation."""
    compensate: str | None
    join: str | int | None
    """``"all"``, ``"any"``, ``"all_settled"``, or the number of predecessors whose edges have to fire."""
    join_deadline: Seconds | None
    cancel_losers: bool


class NodeWords(ConfigWords, total=False):
    params: Mapping[str, Any] | None
    inputs: str | Mapping[str, str] | None


class EdgeWords(TypedDict, total=False):
    """It fires ``when`` its condition holds and, with an ``action``, only for a result with that action."""

    when: str | None
    action: str | None
    transform: str | None
    """Delivered instead of the output of the source."""


class StepWords(NodeWords, EdgeWords, total=False):
    """Of a node, and of the edge that leads to it."""


class FlowWords(TypedDict, total=False):
    """Of a whole blueprint."""

    version: str | None
    """Without one it gets one from its content."""
    expressions: str | None
    """``"cel"`` where conditions and transforms are CEL without the prefix."""
    timeout: Seconds | None
    """Of the whole run."""
    fail_fast: bool
    """The first failure that nothing handles ends the run."""
    strict: bool
    """It is refused if it has a cycle."""
    cycle_entry_points: Sequence[str]
    metadata: Mapping[str, Any] | None


class BuiltInWords(ConfigWords, EdgeWords, total=False):
    """Of a built-in node, whose params have words of their own, and of the edge that leads to it."""

    inputs: str | Mapping[str, str] | None


def metadata_json(words: Mapping[str, Any]) -> dict[str, Any]:
    own = given(
        version=words.get("version"),
        expressionLanguage=words.get("expressions"),
        timeout=milliseconds(words.get("timeout")),
        failurePolicy="failFast" if words.get("fail_fast") else None,
        strict=words.get("strict") or None,
        cycleEntryPoints=list(words.get("cycle_entry_points") or ()) or None,
    )
    return {**(words.get("metadata") or {}), **own}


def node_json(id: str, uses: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """The node, as in the JSON. Other words than those of nodes are left out."""
    config: dict[str, Any] = {}
    for word, (name, convert) in _CONFIG.items():
        if words.get(word) is not None:
            config[name] = convert(words[word])
    if "joinStrategy" in config:
        config |= _join(config["joinStrategy"])
    return given(
        id=id, uses=uses, params=words.get("params") or None, inputs=words.get("inputs"), config=given(**config) or None
    )


def edge_json(words: Mapping[str, Any]) -> dict[str, Any]:
    """What the edge says besides its ends, as in the JSON."""
    return given(**{name: words.get(word) for word, name in _EDGE.items()})


def refuse_unknown(words: Mapping[str, Any], kind: type, what: str) -> None:
    """Raise the `TypeError` that keyword arguments by name would have raised."""
    known: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]  # the kind is a TypedDict
    unknown = sorted(words.keys() - known)
    if unknown:
        raise TypeError(f"{what}: there is no {', '.join(unknown)}: known are {', '.join(sorted(known))}")


def milliseconds(value: Any) -> Any:
    """Whole ones, at least one of what is more than nothing: the JSON takes 0 for no timeout at all."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return value
    whole = round(value * MILLISECONDS)
    return 1 if whole == 0 < value else whole


def given(**properties: Any) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


def _attempts(retries: Any) -> Any:
    """The JSON counts the first attempt too."""
    if retries == 0 and not isinstance(retries, bool):
        return None
    return retries + 1 if isinstance(retries, int) and not isinstance(retries, bool) and retries > 0 else retries


def _names(errors: Any) -> Any:
    if isinstance(errors, list | tuple):
        return [error.__name__ if isinstance(error, type) else error for error in errors]
    return errors.__name__ if isinstance(errors, type) else errors


def _join(join: Any) -> dict[str, Any]:
    """A number of predecessors is the policy that waits for so many."""
    if isinstance(join, int) and not isinstance(join, bool):
        return {"joinStrategy": "n_of_m", "joinCount": join}
    return {"joinStrategy": join}


def _losers(cancel: Any) -> Any:
    return {True: "cancel", False: None}[cancel] if isinstance(cancel, bool) else cancel


def _same(value: Any) -> Any:
    return value


_EDGE: Final = MappingProxyType({"action": "action", "when": "condition", "transform": "transform"})
_CONFIG: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        "retries": ("maxRetries", _attempts),
        "retry_delay": ("retryDelay", milliseconds),
        "retry_backoff": ("retryBackoff", _same),
        "retry_delay_max": ("retryDelayMax", milliseconds),
        "retry_jitter": ("retryJitter", _same),
        "retry_on": ("retryOn", _names),
        "never_retry_on": ("neverRetryOn", _names),
        "timeout": ("timeout", milliseconds),
        "total_timeout": ("totalTimeout", milliseconds),
        "heartbeat": ("heartbeatTimeout", milliseconds),
        "fallback": ("fallback", _same),
        "compensate": ("compensate", _same),
        "join": ("joinStrategy", _same),
        "join_deadline": ("joinDeadline", milliseconds),
        "cancel_losers": ("joinLosers", _losers),
    }
)
