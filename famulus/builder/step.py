"""A node and the edge that leads to it, as one value: what a chain and a fan-out are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from famulus.builder.words import StepWords, edge_json, node_json, refuse_unknown


@dataclass(frozen=True, slots=True)
class Step:
    """One of the branches of `Flow.fan_out`. Made by `step`."""

    node: Mapping[str, Any]
    """As in the JSON."""
    edge: Mapping[str, Any]
    """As in the JSON, without source and target."""


def step(id: str, *, uses: str, **words: Unpack[StepWords]) -> Step:
    """A node and what `Flow.edge` says of the edge to it; the words are those of `Flow.then`."""
    refuse_unknown(words, StepWords, f"step {id!r}")
    return Step(node_json(id, uses, words), edge_json(words))
