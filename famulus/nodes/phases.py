"""Nodes that are classes: an attempt in phases, each of which may be `def` or `async def`.

    recover(ctx, error)           before `prep`, if an earlier attempt of the step failed or its worker died
    prep(ctx) -> prepared         read and check; without it, `prepared` is the input
    exec(prepared[, ctx])         the work; the only phase that must be there
    post(ctx, prepared, result)   write to the context, choose an action; without it, the result of `exec` is returned
    fallback(ctx, error)          instead of failing for good, before the fallback node of the blueprint

An attempt has an instance of its own, so phases may hand things on in attributes. Its constructor is filled like the
arguments of a function. All phases before `fallback` are within the timeout of the attempt, and all of them are tried
again when one fails: another attempt may run on another worker, which has nothing of what `prep` made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

EXEC: Final = "exec"
_PARAMETERS: Final = {"prep": 1, "post": 3, "fallback": 2, "recover": 2}
"""Phase -> how many parameters it is called with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Which phases a class has."""

    exec_takes_context: bool
    prep: bool
    post: bool
    fallback: bool
    recover: bool


def phases_of(implementation: Callable[..., Any]) -> Phases | None:
    """The phases of a class node, ``None`` for everything else.

    Raises `TypeError` for a class that has other phases and no `exec`, or phases that cannot be called as told above.
    """
    if not inspect.isclass(implementation):
        return None
    named = {name for name in _PARAMETERS if callable(getattr(implementation, name, None))}
    work = getattr(implementation, EXEC, None)
    if not callable(work):
        if named:
            raise TypeError(f"class node {implementation.__qualname__} has {sorted(named)}, but no method exec")
        return None
    for name in named:
        _check(implementation, name, _PARAMETERS[name])
    takes_context = _accepts(implementation, EXEC, 2)
    if not takes_context:
        _check(implementation, EXEC, 1)
    return Phases(exec_takes_context=takes_context, **{name: name in named for name in _PARAMETERS})


def _check(implementation: type, name: str, parameters: int) -> None:
    if not _accepts(implementation, name, parameters):
        raise TypeError(
            f"class node {implementation.__qualname__}: {name} must take {parameters} arguments besides self"
        )


def _accepts(implementation: type, name: str, parameters: int) -> bool:
    method = inspect.getattr_static(implementation, name)
    given = [None] * (parameters if isinstance(method, staticmethod | classmethod) else parameters + 1)
    function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
    if isinstance(method, classmethod):
        given.append(None)
    try:
        inspect.signature(function).bind(*given)
    except TypeError:
        return False
    return True
