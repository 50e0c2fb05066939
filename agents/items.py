"""The items topic: items of batches that run on any worker, whoever owns their run."""

from __future__ import annotations

import faust
from faust.types import AgentT, StreamT, TopicT

from famulus.adapters.faust.intake import Intake


def register(app: faust.App, *, topic: TopicT, intake: Intake) -> AgentT[bytes]:
    """Run each item of the topic; its record is acknowledged after its outcome is on the jobs topic."""

    @app.agent(topic, name="famulus.items")
    async def run_items(stream: StreamT[bytes]) -> None:
        await intake.drain_stream(stream)

    return run_items
