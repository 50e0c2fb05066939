"""References to secrets: `secret://name` where a blueprint has a param or an input. The value is in no blueprint.

A worker puts the value in its place when it calls the node, and nowhere else (`famulus.security.secrets`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint.builtins import BUILT_INS
from famulus.blueprint.issues import Issue
from famulus.blueprint.secret_names import NAME, SCHEME, secret_name

if TYPE_CHECKING:
    from famulus.blueprint.model import Node
    from famulus.blueprint.subject import Subject

_RESOLVED_BY: Final = frozenset({"map"})
"""Built-in nodes that hand their params on to nodes of the user."""
_SIGNED_BY: Final = "signedBy"
"""Of a webhook: the worker that is called looks it up."""


def secret_refs(_subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    """A reference that is none, and one where nobody puts a value in its place."""
    inputs = node.inputs if isinstance(node.inputs, Mapping) else {"": node.inputs}
    given = (
        *_texts(node.params, f"{path}.params"),
        *((f"{path}.inputs.{key}" if key else f"{path}.inputs", text) for key, text in inputs.items()),
    )
    is_called = node.uses not in BUILT_INS or node.uses in _RESOLVED_BY
    for where, text in given:
        if not isinstance(text, str) or SCHEME not in text:
            continue
        if not text.startswith(SCHEME):
            message = f"{text!r:.80} stays as it is: only a whole value can be a secret"
            yield Issue("INVALID_SECRET", message, where, node.id, severity="warning")
        elif secret_name(text) is None:
            message = f"{text!r:.80} is no reference to a secret: expected secret://NAME with a NAME like {NAME}"
            yield Issue("INVALID_SECRET", message, where, node.id)
        elif not is_called and where != f"{path}.params.{_SIGNED_BY}":
            message = f"a {node.uses!r} is given no secrets: refer to {text} in the node that uses it"
            yield Issue("INVALID_SECRET", message, where, node.id)


def _texts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every text in JSON data with its path. Without recursion: params nest as deep as a blueprint may."""
    waiting = [(path, value)]
    while waiting:
        where, each = waiting.pop()
        if isinstance(each, str):
            yield where, each
        elif isinstance(each, Mapping):
            waiting += [(f"{where}.{key}", inner) for key, inner in each.items()]
        elif isinstance(each, list | tuple):
            waiting += [(f"{where}[{index}]", inner) for index, inner in enumerate(each)]
