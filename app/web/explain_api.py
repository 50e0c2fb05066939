"""JSON over HTTP: what runs wait for, and which steps are parked. See docs/reference/http-api.md."""

from __future__ import annotations

from typing import Any, Final

from faust import web

from famulus.engine.explaining.parked import ParkedSteps

from .fields import RequestError
from .rendering import clock, json_response
from .requests import run_id_of
from .sources import View

PARKED_LIMIT: Final = 1000

blueprint = web.Blueprint("explain-api")


@blueprint.route("/runs/{run_id}/explain", name="explain")
class Explain(View):
    async def get(self, _request: Any, run_id: str) -> Any:
        """404 for a run that is not recorded: with what is known of it all the same."""
        explanation = await self.sources.explainer.explain(run_id_of(run_id))
        return json_response(explanation.as_json(moment), status=200 if explanation.exists else 404)


@blueprint.route("/parked", name="parked")
class Parked(View):
    async def get(self, request: Any) -> Any:
        """Of all runs; `uses` asks for those of one implementation."""
        unknown = [name for name in request.query if name != "uses"]
        if unknown:
            raise RequestError(f"the query does not fit: {unknown[0][:40]} is not known, expected uses", status=400)
        steps = ParkedSteps(self.sources.runs, self.sources.catalog)
        found: list[dict[str, Any]] = []
        async for parked in steps.all(self.sources.partitions, uses=request.query.get("uses") or None):
            found.append(parked.as_json())
            if len(found) >= PARKED_LIMIT:
                break
        return json_response({"parked": found, "is_cut": len(found) >= PARKED_LIMIT})


def moment(at: float) -> str:
    return f"{clock(at)} UTC"
