"""The jobs topic: what starts runs and moves them on."""

from __future__ import annotations

import faust
from faust.types import AgentT, StreamT, TopicT

from famulus.adapters.faust.intake import Intake


def register(app: faust.App, *, topic: TopicT, intake: Intake) -> AgentT[bytes]:
    """Run each record of the topic; one is acknowledged after its successors are on the topic."""

    @app.agent(topic, name="famulus.jobs")
    async def run_jobs(stream: StreamT[bytes]) -> None:
        await intake.drain_stream(stream)

    return run_jobs
