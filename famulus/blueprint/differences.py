"""What is different between two blueprints, by nodes, edges and fields, in the words of the JSON.

Two blueprints have no differences exactly when they have the same content, and so the same digest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from famulus.blueprint.codec import encode_blueprint
from famulus.blueprint.model import Blueprint
from famulus.blueprint.values import ABSENT

Kind: TypeAlias = Literal["added", "removed", "changed"]
_Object: TypeAlias = Mapping[str, Any]
_Pair: TypeAlias = tuple[int, int]

ORDER: Final = "order"
"""The field that stands for the order of nodes or edges."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    path: str
    """`config.timeout`; of a blueprint also `metadata.version`, and `order` of its nodes or edges."""
    before: Any = ABSENT
    after: Any = ABSENT

    def as_json(self) -> dict[str, Any]:
        """What is absent is left out."""
        values = {"before": self.before, "after": self.after}
        return {"path": self.path} | {name: value for name, value in values.items() if value is not ABSENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    kind: Kind
    part: Literal["blueprint", "node", "edge"]
    name: str
    """The id of a node, `a -> b` of an edge with what else tells it from others, the id of a blueprint."""
    fields: tuple[FieldChange, ...] = ()
    """Of something added or removed: all that it has."""

    def as_json(self) -> dict[str, Any]:
        fields = [field.as_json() for field in self.fields]
        return {"kind": self.kind, "part": self.part, "name": self.name, "fields": fields}


def differences(before: Blueprint, after: Blueprint) -> tuple[Change, ...]:
    """What became of the first blueprint in the second: of itself, then nodes, then edges."""
    old, new = (_document(each) for each in (before, after))
    nodes = _pairs(old["nodes"], new["nodes"], [_node_name])
    # An edge that changed its action or condition is still the edge between the two.
    edges = _pairs(old["edges"], new["edges"], [_whole, _edge_name, _ends])
    own = [*_fields(_without_parts(old), _without_parts(new))]
    own += _reordered("nodes", old["nodes"], new["nodes"], nodes, _node_name)
    own += _reordered("edges", old["edges"], new["edges"], edges, _edge_name)
    found: list[Change] = []
    if own:
        found.append(Change(kind="changed", part="blueprint", name=after.id, fields=tuple(own)))
    found += _changes("node", old["nodes"], new["nodes"], nodes, _node_name)
    found += _changes("edge", old["edges"], new["edges"], edges, _edge_name)
    return tuple(found)


def _document(blueprint: Blueprint) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(encode_blueprint(blueprint))
    return document


def _without_parts(document: _Object) -> _Object:
    return {name: value for name, value in document.items() if name not in ("nodes", "edges")}


def _node_name(node: _Object) -> str:
    return str(node["id"])


def _edge_name(edge: _Object) -> str:
    """Edges equal in this are one edge to a run."""
    words = [f"{edge['source']} -> {edge['target']}"]
    words += [f"on {edge['action']}"] if "action" in edge else []
    words += [f"if {edge['condition']}"] if "condition" in edge else []
    return " ".join(words)


def _ends(edge: _Object) -> tuple[str, str]:
    return edge["source"], edge["target"]


def _whole(part: _Object) -> bytes:
    return msgspec.json.encode(part, order="sorted")


def _pairs(old: Sequence[_Object], new: Sequence[_Object], keys: Sequence[Callable[[_Object], Any]]) -> list[_Pair]:
    """Positions of what is the same in both, by the first key by which it is."""
    pairs: list[_Pair] = []
    left, right = list(range(len(old))), list(range(len(new)))
    for key in keys:
        waiting: defaultdict[Any, list[int]] = defaultdict(list)
        for index in reversed(left):
            waiting[key(old[index])].append(index)
        matched = [(waiting[k].pop(), index) for index in right if waiting.get(k := key(new[index]))]
        pairs += matched
        gone, come = {pair[0] for pair in matched}, {pair[1] for pair in matched}
        left = [index for index in left if index not in gone]
        right = [index for index in right if index not in come]
    return sorted(pairs, key=lambda pair: pair[1])


def _changes(
    part: Literal["node", "edge"],
    old: Sequence[_Object],
    new: Sequence[_Object],
    pairs: Sequence[_Pair],
    name_of: Callable[[_Object], str],
) -> Iterator[Change]:
    kept, partner = {before for before, _ in pairs}, {after: before for before, after in pairs}
    for index, gone in enumerate(old):
        if index not in kept:
            fields = tuple(_fields(gone, {}))
            yield Change(kind="removed", part=part, name=name_of(gone), fields=fields)
    for index, now in enumerate(new):
        if index not in partner:
            yield Change(kind="added", part=part, name=name_of(now), fields=tuple(_fields({}, now)))
        elif fields := tuple(_fields(old[partner[index]], now)):
            yield Change(kind="changed", part=part, name=name_of(old[partner[index]]), fields=fields)


def _reordered(
    what: str,
    old: Sequence[_Object],
    new: Sequence[_Object],
    pairs: Sequence[_Pair],
    name_of: Callable[[_Object], str],
) -> Iterator[FieldChange]:
    """The order of nodes and edges is part of the content: it decides, for example, which step starts first."""
    befores = [before for before, _ in pairs]
    if befores != sorted(befores):
        names = [name_of(old[index]) for index in sorted(befores)], [name_of(new[index]) for _, index in pairs]
        yield FieldChange(f"{what}.{ORDER}", *names)


def _fields(before: _Object, after: _Object, path: str = "") -> Iterator[FieldChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        here = f"{path}.{name}" if path else name
        if _is_inside(old, new):
            yield from _fields(old or {}, new or {}, here)
        elif not _same(old, new):
            yield FieldChange(here, old, new)


def _is_inside(old: Any, new: Any) -> bool:
    """The difference is in the fields of an object; one that is not empty may also have come or gone as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        return True
    return (old is ABSENT and bool(new) and isinstance(new, dict)) or (
        new is ABSENT and bool(old) and isinstance(old, dict)
    )


def _same(old: Any, new: Any) -> bool:
    """As JSON has it: `1`, `1.0` and `true` are three values."""
    if old is ABSENT or new is ABSENT:
        return old is new
    encoded = (msgspec.json.encode(value, order="sorted") for value in (old, new))
    return next(encoded) == next(encoded)
