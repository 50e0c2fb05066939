"""A node and the edge that leads to it, as one value: what a chain and a fan-out are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Any, Final, TypeAlias

Seconds: TypeAlias = float | timedelta
MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One of the branches of `Flow.fan_out`. Made by `step`."""

    node: Mapping[str, Any]
    """As in the JSON."""
    edge: Mapping[str, Any]
    """As in the JSON, without source and target."""


def step(
    id: str,
    *,
    uses: str,
    params: Mapping[str, Any] | None = None,
    inputs: str | Mapping[str, str] | None = None,
    retries: int = 0,
    retry_delay: Seconds | None = None,
    timeout: Seconds | None = None,
    fallback: str | None = None,
    join: str | int | None = None,
    when: str | None = None,
    action: str | None = None,
    transform: str | None = None,
) -> Step:
    """A node and what `Flow.edge` says of the edge to it; the words are those of `Flow.node`."""
    node = node_json(
        id,
        uses=uses,
        params=params,
        inputs=inputs,
        retries=retries,
        retry_delay=retry_delay,
        timeout=timeout,
        fallback=fallback,
        join=join,
    )
    return Step(node, edge_json(when=when, action=action, transform=transform))


def node_json(
    id: str,
    *,
    uses: str,
    params: Mapping[str, Any] | None,
    inputs: str | Mapping[str, str] | None,
    retries: int,
    retry_delay: Seconds | None,
    timeout: Seconds | None,
    fallback: str | None,
    join: str | int | None,
) -> dict[str, Any]:
    config = _given(
        maxRetries=_attempts(retries),
        retryDelay=_milliseconds(retry_delay),
        timeout=_milliseconds(timeout),
        fallback=fallback,
        **_join(join),
    )
    return _given(id=id, uses=uses, params=params or None, inputs=inputs, config=config or None)


def _join(join: Any) -> dict[str, Any]:
    """A number of predecessors is the policy that waits for so many."""
    if isinstance(join, int) and not isinstance(join, bool):
        return {"joinStrategy": "n_of_m", "joinCount": join}
    return {"joinStrategy": join}


def edge_json(*, when: str | None, action: str | None, transform: str | None) -> dict[str, Any]:
    return _given(action=action, condition=when, transform=transform)


def _attempts(retries: Any) -> Any:
    """The JSON counts the first attempt too. What is no number of retries is left to the codec, which names it."""
    if retries == 0 and not isinstance(retries, bool):
        return None
    return retries + 1 if isinstance(retries, int) and not isinstance(retries, bool) and retries > 0 else retries


def _milliseconds(given: Any) -> Any:
    """Whole ones, at least one of what is more than nothing: the JSON takes 0 for no timeout at all."""
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given):
        return given
    whole = round(given * MILLISECONDS)
    return 1 if whole == 0 < given else whole


def _given(**properties: Any) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}
