"""What a node is given besides its arguments: who it is, and the context of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from famulus.blueprint.values import ABSENT
from famulus.ids import BlueprintId, NodeId, RunId, StepId


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

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step, on whichever worker: hand it to the systems that you call.

        A step runs at least once; a system that honours the key makes its effect once.
        """
        return f"{self.run_id}/{self.step_id}"

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
