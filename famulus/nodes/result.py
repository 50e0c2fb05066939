"""What a node gives back when a plain value is not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """An output together with an action, which chooses among the node's outgoing edges.

    Returning a plain value `x` means `Result(output=x)`.
    """

    output: Any = None
    action: str | None = None
