"""A record that cannot be handled is set aside as a dead letter: with every byte, and with the reason."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from famulus.flow.deciding import REASON_CHARACTERS

if TYPE_CHECKING:
    from famulus.errors import BadRecordError
    from famulus.ports import Bus, Record

log = logging.getLogger(__name__)


async def bury(record: Record, error: BadRecordError, *, bus: Bus, counts: Counter[str]) -> None:
    """Returns when the dead letter is on its topic."""
    counts["dead_letters"] += 1
    reason = str(error)[:REASON_CHARACTERS]  # the record may be as large as the topic allows: leave room for it
    log.warning(
        "dead letter from %s/%d@%d: %s",
        record.topic,
        record.partition,
        record.offset,
        reason,
        extra={"action": "dead_letter", "code": error.code},
    )
    await (await bus.send_dead_letter(record, code=error.code, reason=reason))
