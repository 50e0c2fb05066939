"""The builder. A flow is a value: each call returns a new one, so a common beginning can be shared.

It keeps the JSON document and, for chains, the nodes that the next `then` goes on from. Nothing is checked while it is
put together; `Flow.blueprint` and `Flow.to_json` tell every problem at once, with the paths of the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Unpack

import msgspec

from famulus.blueprint import Blueprint, check_blueprint
from famulus.builder.params import Duration, Moment, map_params, sleep_params, wait_params
from famulus.builder.step import Step
from famulus.builder.words import (
    BuiltInWords,
    EdgeWords,
    FlowWords,
    NodeWords,
    StepWords,
    edge_json,
    given,
    metadata_json,
    node_json,
    refuse_unknown,
)


def flow(id: str, **words: Unpack[FlowWords]) -> Flow:
    """Begin a blueprint. Without a version it gets one from its content.

    ``expressions`` is ``"cel"`` where conditions and transforms are CEL without the prefix; ``timeout`` is that of the
    whole run. With ``fail_fast`` the first failure ends it; a ``strict`` blueprint is refused if it has a cycle.
    """
    refuse_unknown(words, FlowWords, f"flow {id!r}")
    return Flow(id=id, metadata=metadata_json(words))


class End(NamedTuple):
    """A node that a chain goes on from."""

    id: str
    action: str | None = None
    """Of the edge that leads on, unless that says another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A blueprint in the making. Made by `flow`."""

    id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[Mapping[str, Any], ...] = ()
    edges: tuple[Mapping[str, Any], ...] = ()
    ends: tuple[End, ...] = ()
    """What the next `then` or `fan_out` goes on from."""

    def node(self, id: str, *, uses: str, **words: Unpack[NodeWords]) -> Flow:
        """Add a node that no edge leads to yet, and go on from it.

        ``retries`` are those after the first attempt (`maxRetries` of the JSON counts that one too); delays and
        time-outs are seconds or a timedelta; ``fallback`` and ``compensate`` are ids of other nodes; ``join`` is
        ``"all"``, ``"any"``, ``"all_settled"``, or the number of predecessors whose edges have to fire.
        """
        refuse_unknown(words, NodeWords, f"node {id!r}")
        return replace(self, nodes=(*self.nodes, node_json(id, uses, words)), ends=(End(id),))

    def edge(self, source: str, target: str, **words: Unpack[EdgeWords]) -> Flow:
        """Lead from one node to another; both may be added later. Where `then` goes on from stays as it is.

        It fires ``when`` its condition holds and, with an ``action``, only for a result with that action;
        ``transform`` is delivered instead of the output of the source.
        """
        refuse_unknown(words, EdgeWords, f"edge {source!r} to {target!r}")
        return replace(self, edges=(*self.edges, *_edges([End(source)], target, edge_json(words))))

    def then(self, id: str, *, uses: str | None = None, **words: Unpack[StepWords]) -> Flow:
        """Add a node with an edge from each of the ends, and go on from it. The words are those of `node` and `edge`.

        Without ``uses`` no node is added: it leads to one that is there, or that comes later.
        """
        refuse_unknown(words, StepWords, f"node {id!r}")
        nodes = self.nodes if uses is None else (*self.nodes, node_json(id, uses, words))
        edges = (*self.edges, *_edges(self.ends, id, edge_json(words)))
        return replace(self, nodes=nodes, edges=edges, ends=(End(id),))

    def fan_out(self, *steps: Step) -> Flow:
        """Lead from each of the ends to each of these, side by side, and go on from all of them."""
        targets = [str(each.node["id"]) for each in steps]
        edges = [edge for to, each in zip(targets, steps, strict=True) for edge in _edges(self.ends, to, each.edge)]
        return replace(
            self,
            nodes=(*self.nodes, *(each.node for each in steps)),
            edges=(*self.edges, *edges),
            ends=tuple(End(target) for target in targets),
        )

    def at(self, *ids: str) -> Flow:
        """Go on from these nodes: to add another branch, or to join some."""
        return replace(self, ends=tuple(End(each) for each in ids))

    def sleep(
        self,
        id: str,
        duration: Duration | None = None,
        *,
        until: Moment | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Wait for seconds, a timedelta or a text such as ``"10s"``; or until a time."""
        return self._built_in(id, "sleep", sleep_params(duration, until), words)

    def wait(
        self,
        id: str,
        *,
        signal: str | None = None,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        form: Mapping[str, Any] | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Wait for a signal or a resume whose payload fits the form, a JSON Schema.

        When the deadline passes, the result has the action ``on_deadline``; without one the step fails.
        """
        params = wait_params(signal=signal, deadline=deadline, on_deadline=on_deadline, form=form)
        return self._built_in(id, "wait", params, words)

    def webhook(
        self,
        id: str,
        *,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        form: Mapping[str, Any] | None = None,
        signed_by: str | None = None,
        token_expires: Duration | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Wait for a call of a URL that works once, signed with a secret (``secret://name``); else as `wait`.

        ``token_expires``: how long calls are let in; the step waits on after that.
        """
        params = wait_params(
            deadline=deadline, on_deadline=on_deadline, form=form, signed_by=signed_by, token_expires=token_expires
        )
        return self._built_in(id, "webhook", params, words)

    def loop(
        self,
        id: str,
        condition: str,
        *,
        body: Callable[[Flow], Flow],
        max_rounds: int | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Go round as long as the condition holds, and then on from here. The body adds what is done in each round.

        The condition reads the context alone, before the first round too. The body gets a flow that goes on from the
        beginning of a round; where the one that it returns ends, a round ends.
        """
        params = given(condition=condition, maxRounds=max_rounds)
        led = self._built_in(id, "loop-controller", params, {"join": "any", **words})
        back = body(replace(led, ends=(End(id, "continue"),))).then(id)
        return replace(back, ends=(End(id, "break"),))

    def scatter(
        self, id: str, *, uses: str, gather: str, chunk: int | None = None, **words: Unpack[BuiltInWords]
    ) -> Flow:
        """Run an implementation for each item of the input; the node ``gather``, added by `gather`, has the outputs."""
        params = given(workerUsesKey=uses, gatherNodeId=gather, chunkSize=chunk)
        return self._built_in(id, "batch-scatter", params, words)

    def gather(self, id: str, *, output_key: str | None = None, **words: Unpack[BuiltInWords]) -> Flow:
        """Wait for the items of the scatter that names this node."""
        return self._built_in(id, "batch-gather", given(gatherNodeId=id, outputKey=output_key), words)

    def map(
        self,
        id: str,
        *,
        uses: str | None = None,
        blueprint: str | None = None,
        version: str | None = None,
        params: Mapping[str, Any] | None = None,
        max_concurrency: int | None = None,
        tolerated_failures: int | str | None = None,
        spread: bool = False,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Run an implementation, or a blueprint, for each item of the input; the output is the list of theirs."""
        made = map_params(
            uses=uses,
            blueprint=blueprint,
            version=version,
            params=params,
            max_concurrency=max_concurrency,
            tolerated_failures=tolerated_failures,
            spread=spread,
        )
        return self._built_in(id, "map", made, words)

    def subflow(
        self,
        id: str,
        blueprint: str,
        *,
        version: str | None = None,
        child_inputs: Mapping[str, str] | None = None,
        child_outputs: Mapping[str, str] | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Run a blueprint as a run of its own and wait for it.

        ``child_inputs`` maps keys of the child to keys of this run, ``child_outputs`` keys of this run to those of the
        child (`inputs` and `outputs` of the params).
        """
        params = given(blueprintId=blueprint, version=version, inputs=child_inputs, outputs=child_outputs)
        return self._built_in(id, "subflow", params, words)

    def start_run(
        self,
        id: str,
        blueprint: str,
        *,
        version: str | None = None,
        child_inputs: Mapping[str, str] | None = None,
        run_id: str | None = None,
        **words: Unpack[BuiltInWords],
    ) -> Flow:
        """Start a run and go on without waiting for it."""
        params = given(blueprintId=blueprint, version=version, inputs=child_inputs, runId=run_id)
        return self._built_in(id, "startRun", params, words)

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

    def _built_in(self, id: str, uses: str, params: Mapping[str, Any], words: BuiltInWords) -> Flow:
        return self.then(id, uses=uses, params=params, **words)


def _edges(ends: Iterable[End], target: str, edge: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for end in ends:
        yield {"source": end.id, "target": target, **given(action=end.action), **edge}
