"""The input of a node (blueprint specification, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from famulus.blueprint.values import ABSENT, walk
from famulus.errors import InputError

if TYPE_CHECKING:
    from famulus.blueprint.model import Node
    from famulus.flow.state import RunState


def resolve(run: RunState, node: Node) -> Any:
    """What the node is given: its explicit `inputs`, or what the edges deliver, which a transform makes binding.

    An input that is absent is null. Raises `InputError` for a map of inputs with a value that is no string.
    """
    if (not node.inputs and not isinstance(node.inputs, Mapping)) or node.id in run.bound:
        return _present(run.context.get(f"_inputs.{node.id}", ABSENT))
    if isinstance(node.inputs, str):
        return _present(_named(run, node.inputs))
    return {key: _present(_mapped(run, node, key, name)) for key, name in (node.inputs or {}).items()}


def _mapped(run: RunState, node: Node, key: str, name: Any) -> Any:
    if not isinstance(name, str):
        raise InputError(
            f"node {node.id!r}: inputs.{key} is {name!r}, expected the name of a node or a context key as a string"
        )
    return _named(run, name)


def _named(run: RunState, name: str) -> Any:
    if name.startswith("_"):
        return run.read(name)
    if "." in name:
        node_id, _, path = name.partition(".")
        return walk(run.output_of(node_id), path.split("."))
    output = run.output_of(name)
    return run.context.get(name, ABSENT) if output is ABSENT else output


def _present(value: Any) -> Any:
    return None if value is ABSENT else value
