"""What stands for the values of a run while a workflow function is traced.

A value has a name and nothing else: it can be given to a task, its fields can be named, and it can be led on from only
in some cases. Everything else that Python could do with it is refused, because there is nothing yet to do it with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from famulus.errors import TracingError

_DECIDE: Final = "decide in a node, and lead on with on(value, action) or when(value, condition)"
_COMPUTE: Final = "compute it in a node"


def _refused(what: str, instead: str) -> Callable[..., NoReturn]:
    def method(self: Any, *_: Any) -> NoReturn:
        raise TracingError(f"{self!r} is known only in a run, so {what} while the workflow is traced: {instead}")

    return method


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A node whose edge leads on, and in which cases."""

    node_id: str
    action: str | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """The output of a node, a field of one, or a parameter of the workflow: a key of its initial context."""

    trace: object
    """Where it belongs to."""
    name: str
    """A node id or context key."""
    sources: tuple[Source, ...] = ()
    """The nodes that lead on; none for a parameter, several for `first_of`."""
    path: tuple[str, ...] = ()
    is_first: bool = False

    @property
    def text(self) -> str:
        """As `inputs` name it."""
        return ".".join((self.name, *self.path))

    def __getitem__(self, key: str | int) -> Value:
        segment = str(key)
        if self.is_first or not self.sources:
            what = "one of several nodes" if self.is_first else "a parameter"
            raise TracingError(f"{self!r} is {what}, of which no field can be named: give it to a node as a whole")
        if (
            isinstance(key, bool)
            or not isinstance(key, str | int)
            or not segment
            or "." in segment
            or segment[0] == "-"
        ):
            raise TracingError(f"{self!r} has no field {key!r}: expected a key without a dot, or an index from 0")
        return replace(self, path=(*self.path, segment))

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TracingError(f"{self!r} has no attribute {name!r}: a field is written as value[{name!r}]")

    __bool__ = _refused("it is neither true nor false", _DECIDE)
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refused("it cannot be compared", _DECIDE)
    __hash__ = None  # type: ignore[assignment]  # what cannot be compared cannot be found again
    __contains__ = _refused("nothing can be looked for in it", _DECIDE)
    __iter__ = __len__ = _refused("its items cannot be gone through", "run a task for each with each(task, value)")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refused("nothing can be computed with it", _COMPUTE)
    __truediv__ = __floordiv__ = __mod__ = __neg__ = __int__ = __float__ = _refused("there is no number yet", _COMPUTE)
    __str__ = __format__ = _refused("it has no text", _COMPUTE)
    __call__ = _refused("it cannot be called", "call a task with it")


def on(value: Value, action: str) -> Value:
    """The value, for what is done only if the result of its node has this action."""
    return _only(value, lambda source: replace(source, action=action))


def when(value: Value, condition: str) -> Value:
    """The value, for what is done only if the condition holds once its node has completed: `result.output.ok`."""
    return _only(value, lambda source: replace(source, condition=condition))


def first_of(*values: Value) -> Value:
    """What comes first of these, or the only one that comes: for the node after branches."""
    for value in values:
        if not isinstance(value, Value) or not value.sources or value.path or value.is_first:
            raise TracingError(f"first_of has {value!r}: expected outputs of nodes, each as a whole")
    if len({id(value.trace) for value in values}) != 1:
        raise TracingError("first_of has no values of one workflow: expected at least one, all of the same")
    names = " or ".join(value.name for value in values)
    return Value(
        trace=values[0].trace,
        name=names,
        sources=tuple(source for value in values for source in value.sources),
        is_first=True,
    )


def _only(value: Value, narrowed: Callable[[Source], Source]) -> Value:
    if not isinstance(value, Value) or not value.sources:
        raise TracingError(
            f"{value!r} is not the output of a node, so nothing leads on from it: give the output of one"
        )
    return replace(value, sources=tuple(narrowed(source) for source in value.sources))
