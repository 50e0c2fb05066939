"""What a node is given besides its arguments: who it is, and the context of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from famulus.blueprint.values import ABSENT
from famulus.ids import BlueprintId, NodeId, RunId, StepId
from famulus.nodes.cancellation import CANCELLATION


class Line(Protocol):
    """From an attempt to those who watch it. Every method may be called from any thread, and none waits."""

    def beat(self) -> None: ...

    def progress(self, fraction: float, text: str) -> None: ...

    def emit(self, chunk: Any) -> None: ...


class _Nobody:
    """Nobody watches: a context that was made by hand."""

    def beat(self) -> None:
        pass

    def progress(self, fraction: float, text: str) -> None:
        pass

    def emit(self, chunk: Any) -> None:
        pass


_NOBODY = _Nobody()


class NodeInfo:
    """Identity and input of one attempt. The same for `async def` and `def` nodes."""

    def __init__(
        self,
        *,
        run_id: RunId,
        blueprint_id: BlueprintId,
        node_id: NodeId,
        step_id: StepId,
        attempt: int,
        input: Any,  # the word that blueprints and users have for it
        params: Mapping[str, Any],
        read: Callable[[str], Any],
        changes: dict[str, Any] | None = None,
        line: Line = _NOBODY,
        hook_url: Callable[[str], str] | None = None,
    ) -> None:
        self.run_id = run_id
        self.blueprint_id = blueprint_id
        self.node_id = node_id
        self.step_id = step_id
        self.attempt = attempt
        """From 1."""
        self.input = input
        self.params = params
        self.changes: dict[str, Any] = {} if changes is None else changes
        """Context keys written so far; a deleted one is `ABSENT`."""
        self._read = read
        self.line = line
        self._hook_url = hook_url

    @classmethod
    def of(cls, other: NodeInfo) -> Self:
        """The same attempt as this kind of context: both see what either writes."""
        if type(other) is cls:
            return other
        made = cls.__new__(cls)
        made.__dict__ = other.__dict__
        return made

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step, on whichever worker: hand it to the systems that you call.

        A step runs at least once; a system that honours the key makes its effect once.
        """
        return f"{self.run_id}/{self.step_id}"

    @property
    def cancelled(self) -> bool:
        """The step is not wanted any more: come to an end soon. What is returned now is not recorded.

        An `async def` node that goes on is cancelled when the grace of the one who asked is over, at once if there is
        none. A `def` node in a thread cannot be stopped from outside: one that takes long should look at this.
        """
        current = CANCELLATION.get()
        return current is not None and current.is_requested

    def webhook_url(self, node_id: str) -> str:
        """The URL that lets this `webhook` node go on, once, from the moment at which it waits.

        It can be handed out before: by any node that runs earlier, however often it is tried.
        """
        if self._hook_url is None:
            raise LookupError("a context that was made by hand has no webhooks")
        return self._hook_url(node_id)

    def heartbeat(self) -> None:
        """Say that the attempt is alive. With a `heartbeatTimeout`, one that does not for so long is tried again."""
        self.line.beat()

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the attempt has come, from 0 to 1. Also a heartbeat.

        It is shown live and not recorded. Of several within a moment, the last is told.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a number from 0 to 1, got {fraction!r}")
        self.line.beat()
        self.line.progress(float(fraction), str(text))

    def emit(self, chunk: Any) -> None:
        """Tell those who watch the run a part of the result: a JSON value. Also a heartbeat.

        It goes onto the events topic, in order, and is not recorded: what counts is what the node returns.
        """
        self.line.beat()
        self.line.emit(chunk)

    def _get(self, key: str, default: Any) -> Any:
        value = self.changes[key] if key in self.changes else self._read(key)
        return default if value is ABSENT else value

    def _has(self, key: str) -> bool:
        return self._get(key, ABSENT) is not ABSENT


class NodeContext(NodeInfo):
    """The context object of an `async def` node.

    Reads see what the run had when it was asked, and the node's own writes. Writes are kept back and become visible
    together with the outcome of the attempt, or not at all.
    """

    async def get(self, key: str, default: Any = None) -> Any:
        return self._get(key, default)

    async def has(self, key: str) -> bool:
        return self._has(key)

    async def set(self, key: str, value: Any) -> None:
        self.changes[key] = value

    async def delete(self, key: str) -> None:
        self.changes[key] = ABSENT


class ThreadContext(NodeInfo):
    """The context object of a `def` node, which runs in a thread: the same without `await`."""

    def get(self, key: str, default: Any = None) -> Any:
        return self._get(key, default)

    def has(self, key: str) -> bool:
        return self._has(key)

    def set(self, key: str, value: Any) -> None:
        self.changes[key] = value

    def delete(self, key: str) -> None:
        self.changes[key] = ABSENT
