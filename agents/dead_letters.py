"""The topic of dead letters: records that could not be handled, kept where they can be looked for and sent again."""

from __future__ import annotations

import faust
from faust.types import AgentT, StreamT, TopicT

from famulus.adapters.faust.intake import Intake


def register(app: faust.App, *, topic: TopicT, intake: Intake) -> AgentT[bytes]:
    """Keep each letter of the topic; its record is acknowledged when it is stored."""

    @app.agent(topic, name="famulus.dead-letters")
    async def keep_dead_letters(stream: StreamT[bytes]) -> None:
        await intake.drain_stream(stream)

    return keep_dead_letters
