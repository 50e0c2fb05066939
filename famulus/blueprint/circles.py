"""Which points of a directed graph lead to each other: its strongly connected components."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    P = TypeVar("P", bound=Hashable)


def circles(before: Mapping[P, Iterable[P]]) -> dict[P, int]:
    """A number for each point, given what each leads to; the same number for those that lead to each other.

    Kosaraju's two searches in linear time, without recursion.
    """
    points = dict.fromkeys([*before, *(after for afters in before.values() for after in afters)])
    finished: list[P] = []
    seen: set[P] = set()
    for root in points:
        if root in seen:
            continue
        seen.add(root)
        path = [(root, iter(before.get(root, ())))]
        while path:
            point, left = path[-1]
            following = next(left, None)
            if following is None:
                finished.append(point)
                path.pop()
            elif following not in seen:
                seen.add(following)
                path.append((following, iter(before.get(following, ()))))
    after: defaultdict[P, list[P]] = defaultdict(list)
    for point, followings in before.items():
        for following in followings:
            after[following].append(point)
    circle: dict[P, int] = {}
    for number, root in enumerate(reversed(finished)):
        stack = [root]
        while stack:
            point = stack.pop()
            if point not in circle:
                circle[point] = number
                stack += after[point]
    return circle
