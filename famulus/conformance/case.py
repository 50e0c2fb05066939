"""A case as it is given, made ready to be run: checked, with its options, and with its sleeps held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from famulus.blueprint import Blueprint, parse_blueprint
from famulus.blueprint.builtins import BUILT_INS, parse_params
from famulus.blueprint.model import Node
from famulus.blueprint.times import MILLISECONDS_MAX
from famulus.errors import ParameterError
from famulus.ids import BlueprintId

DEFAULT_ID: Final = "case"
IN_METADATA: Final = frozenset({"strict", "timeout", "failurePolicy", "cycleEntryPoints", "expressionLanguage"})
HELD_UNTIL: Final = 253_000_000_000.0
"""In the year 9987."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    blueprint: Blueprint
    children: Mapping[str, Blueprint]
    """By the id under which subflows name them."""
    nodes: Mapping[str, Callable[..., Any]]
    initial: Mapping[str, Any]
    resume: Sequence[Mapping[str, Any]]
    cancel: Mapping[str, Any] | None
    concurrency: int | None
    """How many nodes may be at work at the same time."""

    @property
    def is_cancelled_first(self) -> bool:
        return bool(self.cancel and self.cancel.get("before"))

    @property
    def cancelled_after(self) -> str | None:
        return None if self.cancel is None else self.cancel.get("after")

    @property
    def blueprints(self) -> Sequence[Blueprint]:
        return (*self.children.values(), self.blueprint)

    @property
    def built_ins(self) -> frozenset[str]:
        """But for those of which the case brings an implementation of its own."""
        return BUILT_INS - self.nodes.keys()

    def is_built_in(self, node_id: str) -> bool:
        return any(node.id == node_id and node.uses in self.built_ins for node in self.blueprint.nodes)

    def is_timed(self, blueprint_id: str, node_id: str) -> bool:
        """Whether the code of a node may only take so long."""
        found = [node for each in self.blueprints if each.id == blueprint_id for node in each.nodes]
        configs = [node.config for node in found if node.id == node_id]
        return any(config.timeout_ms is not None or config.total_timeout_ms is not None for config in configs)


def read_case(
    blueprint: Mapping[str, Any],
    nodes: Mapping[str, Callable[..., Any]],
    initial: Mapping[str, Any] | None,
    *,
    children: Mapping[str, Mapping[str, Any]] | None,
    resume: Sequence[Mapping[str, Any]] | None,
    cancel: Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
) -> Case:
    """Raises `BlueprintError` for what is no blueprint."""
    given = dict(options or {})
    in_metadata = {name: value for name, value in given.items() if name in IN_METADATA}
    concurrency = given.get("concurrency")
    held = (lambda parsed: parsed) if "sleep" in nodes else _held
    return Case(
        blueprint=held(parse_blueprint(_with_metadata(blueprint, in_metadata), default_id=DEFAULT_ID)),
        children={name: held(parse_blueprint(_with_id(child, name))) for name, child in (children or {}).items()},
        nodes=nodes,
        initial=dict(initial or {}),
        resume=list(resume or ()),
        cancel=cancel,
        concurrency=int(concurrency) if concurrency else None,
    )


def _with_metadata(document: Any, more: Mapping[str, Any]) -> Any:
    """What is no object stays as it is: whoever reads it says so."""
    if not isinstance(document, Mapping):
        return document
    metadata = document.get("metadata") or {}
    return {**document, "metadata": {**metadata, **more} if isinstance(metadata, Mapping) else metadata}


def _with_id(document: Any, blueprint_id: str) -> Any:
    return {**document, "id": blueprint_id} if isinstance(document, Mapping) else document


def _held(blueprint: Blueprint) -> Blueprint:
    """The blueprint whose sleeps end only by being resumed, on every stack: those that could be carried out."""
    return replace(blueprint, nodes=tuple(_held_node(node) for node in blueprint.nodes))


def _held_node(node: Node) -> Node:
    if node.uses != "sleep":
        return node
    try:
        parse_params(node)
    except ParameterError:
        return node
    if node.params.get("until") is not None:
        return replace(node, params={**node.params, "until": HELD_UNTIL})
    return replace(node, params={**node.params, "duration": MILLISECONDS_MAX})


def with_names(case: Case, *, blueprint_name: Callable[[str], str], node_name: Callable[[str], str]) -> Case:
    """The case under names that no other case has, of blueprints and of implementations."""
    built_ins = case.built_ins

    def own_name(uses: str) -> str:
        return uses if uses in built_ins else node_name(uses)

    def renamed_node(node: Node) -> Node:
        params = dict(node.params)
        if node.uses in built_ins and isinstance(params.get("blueprintId"), str) and params["blueprintId"]:
            params["blueprintId"] = blueprint_name(params["blueprintId"])
        for key, of in (("workerUsesKey", "batch-scatter"), ("uses", "map")):
            if node.uses == of and of in built_ins and isinstance(params.get(key), str) and params[key]:
                params[key] = own_name(params[key])
        return replace(node, uses=own_name(node.uses), params=params)

    def renamed(blueprint: Blueprint) -> Blueprint:
        return replace(
            blueprint,
            id=BlueprintId(blueprint_name(blueprint.id)),
            nodes=tuple(renamed_node(node) for node in blueprint.nodes),
        )

    return replace(
        case,
        blueprint=renamed(case.blueprint),
        children={name: renamed(child) for name, child in case.children.items()},
    )
