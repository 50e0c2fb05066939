"""What somebody has changed or tried to, as lines of the log: `action=audit`, what, by whom.

What is asked of a run is an event of the run besides, and a token knows who made and who revoked it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

log: Final = logging.getLogger("famulus.audit")


def audit(what: str, *, by: str, **facts: Any) -> None:
    """Tell the log. The facts are names and numbers, never a value of a run or a token."""
    log.info("%s by %s", what, by or "unknown", extra={"action": "audit", "what": what, "by": by, **facts})
