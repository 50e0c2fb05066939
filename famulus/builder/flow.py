"""The builder. A flow is a value: each call returns a new one, so a common beginning can be shared.

It keeps the JSON document and, for chains, the nodes that the next `then` goes on from. Nothing is checked while it is
put together; `Flow.blueprint` and `Flow.to_json` tell every problem at once, with the paths of the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from famulus.blueprint import Blueprint, check_blueprint
from famulus.builder.step import Seconds, Step, edge_json, node_json


def flow(
    id: str,
    *,
    version: str | None = None,
    expressions: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Flow:
    """Begin a blueprint. Without a version it gets one from its content.

    ``expressions`` is ``"cel"`` where conditions and transforms are CEL without the prefix.
    """
    own = {"version": version, "expressionLanguage": expressions}
    known = {**(metadata or {}), **{name: value for name, value in own.items() if value is not None}}
    return Flow(id=id, metadata=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A blueprint in the making. Made by `flow`."""

    id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[Mapping[str, Any], ...] = ()
    edges: tuple[Mapping[str, Any], ...] = ()
    ends: tuple[str, ...] = ()
    """The ids that the next `then` or `fan_out` goes on from."""

    def node(
        self,
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
    ) -> Flow:
        """Add a node that no edge leads to yet, and go on from it.

        ``retries`` are those after the first attempt (`maxRetries` of the JSON counts that one too); ``retry_delay``
        and ``timeout`` are seconds or a timedelta; ``fallback`` is the id of another node; ``join`` is ``"all"``,
        ``"any"``, ``"all_settled"``, or the number of predecessors whose edges have to fire.
        """
        added = node_json(
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
        return replace(self, nodes=(*self.nodes, added), ends=(id,))

    def edge(
        self,
        source: str,
        target: str,
        *,
        when: str | None = None,
        action: str | None = None,
        transform: str | None = None,
    ) -> Flow:
        """Lead from one node to another; both may be added later. Where `then` goes on from stays as it is.

        It fires ``when`` its condition holds and, with an ``action``, only for a result with that action;
        ``transform`` is delivered instead of the output of the source.
        """
        edge = {"source": source, "target": target, **edge_json(when=when, action=action, transform=transform)}
        return replace(self, edges=(*self.edges, edge))

    def then(
        self,
        id: str,
        *,
        uses: str | None = None,
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
    ) -> Flow:
        """Add a node with an edge from each of the ends, and go on from it. The words are those of `node` and `edge`.

        Without ``uses`` no node is added: it leads to one that is there, or that comes later.
        """
        led = self
        for end in self.ends:
            led = led.edge(end, id, when=when, action=action, transform=transform)
        if uses is None:
            return replace(led, ends=(id,))
        return led.node(
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

    def fan_out(self, *steps: Step) -> Flow:
        """Lead from each of the ends to each of these, side by side, and go on from all of them."""
        led = self
        for each in steps:
            target = str(each.node["id"])
            edges = tuple({"source": end, "target": target, **each.edge} for end in self.ends)
            led = replace(led, nodes=(*led.nodes, each.node), edges=(*led.edges, *edges))
        return replace(led, ends=tuple(str(each.node["id"]) for each in steps))

    def at(self, *ids: str) -> Flow:
        """Go on from these nodes: to add another branch, or to join some."""
        return replace(self, ends=ids)

    def document(self) -> dict[str, Any]:
        """The JSON as data, as it is put together so far and unchecked."""
        document: dict[str, Any] = {"id": self.id}
        if self.metadata:
            document["metadata"] = dict(self.metadata)
        return {**document, "nodes": [dict(node) for node in self.nodes], "edges": [dict(edge) for edge in self.edges]}

    def blueprint(self) -> Blueprint:
        """The blueprint. Raises `BlueprintError` with every problem, those of the linter included."""
        return check_blueprint(self.document())

    def to_json(self, *, indent: int = 2) -> str:
        """The blueprint as JSON text that reads like the code. Raises as `blueprint`."""
        self.blueprint()
        text = msgspec.json.encode(self.document(), enc_hook=dict)  # the hook meets mappings that are no dicts
        return msgspec.json.format(text, indent=indent).decode() + "\n"
