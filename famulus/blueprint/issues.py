"""What the linter finds, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


SPECIFIED_CODES: Final = frozenset(
    {
        "MISSING_NODE_IMPLEMENTATION",
        "INVALID_BATCH_WORKER_KEY",
        "INVALID_SUBFLOW_BLUEPRINT_ID",
        "INVALID_EDGE_SOURCE",
        "INVALID_EDGE_TARGET",
        "ORPHAN_NODE",
    }
)
"""Those of the blueprint specification, section 12; all others are ours."""


@dataclass(frozen=True, slots=True)
class Issue:
    code: str
    """Stable."""
    message: str
    path: str
    """Where in the document: `nodes[3].uses`."""
    node_id: str | None = None
    related_id: str | None = None
    severity: Literal["error", "warning"] = "error"
    """With an error the blueprint does not do what it says; a warning may be meant."""

    def as_json(self) -> dict[str, Any]:
        """The issue in the words of the specification; ids that are not given are left out."""
        shown = {"code": self.code, "severity": self.severity, "path": self.path, "message": self.message}
        ids = {"nodeId": self.node_id, "relatedId": self.related_id}
        return shown | {name: value for name, value in ids.items() if value is not None}


def issues_as_text(issues: Iterable[Issue]) -> str:
    """A line for each issue, errors first; empty if there is none."""
    lines = sorted(issues, key=lambda issue: issue.severity)
    return "\n".join(f"{i.severity} {i.code} {i.path or 'blueprint'}: {i.message}" for i in lines)
