"""For whoever watches over workers: is it alive, and is it of use?"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from faust import web

from famulus.errors import RetryableError

from .rendering import json_response
from .sources import Sources, View

STORE_SECONDS: Final = 2.0

blueprint = web.Blueprint("health")


@blueprint.route("/health/live", name="live")
class Live(View):
    async def get(self, _request: Any) -> Any:
        """503 once this worker is to be started anew. Answered by the event loop: no answer, and that is stuck."""
        reason = self.sources.app.watchdog.gives_up
        if reason is not None:
            return json_response({"status": "not live", "reasons": [reason]}, status=503)
        return json_response({"status": "live"})


@blueprint.route("/health/ready", name="ready")
class Ready(View):
    async def get(self, _request: Any) -> Any:
        """200 if runs can be owned and read here; else 503 with the reasons."""
        reasons = await _reasons_against(self.sources)
        if reasons:
            return json_response({"status": "not ready", "reasons": reasons}, status=503, headers={"Retry-After": "2"})
        return json_response({"status": "ready", "partitions": sorted(self.sources.app.engine.partitions)})


async def _reasons_against(sources: Sources) -> list[str]:
    if not sources.app.is_running:
        return ["this worker has not opened its servers yet"]
    reasons = sources.app.watchdog.reasons_against_ready()
    if not sources.app.is_ready:
        reasons.append(f"it is not settled which partitions of {sources.settings.jobs_topic} this worker has")
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await sources.runs.recent(limit=1)
    except RetryableError as error:
        reasons.append(f"the store does not answer: {error}")
    except TimeoutError:
        reasons.append(f"the store does not answer within {STORE_SECONDS:g} s")
    return reasons
