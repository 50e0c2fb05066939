"""Pages for people: all schedules, and one of them."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web as aiohttp_web
from faust import web

from .callers import asker
from .rendering import page
from .requests import BY_PAGE
from .sources import View

blueprint = web.Blueprint("schedules-pages")

DEFINITION_SHOWN: Final = (
    "version", "start", "end", "anchor", "catch_up", "catch_up_limit", "overlap", "by",
)  # fmt: skip
MOMENTS: Final = frozenset({"start", "end", "anchor"})


@blueprint.route("/schedules", name="schedules")
class Schedules(View):
    async def get(self, _request: Any) -> Any:
        return page("schedules.html", now=self.sources.now(), schedules=await self.sources.schedules.all())


@blueprint.route("/schedules/{schedule_id}", name="schedule")
class Schedule(View):
    async def get(self, _request: Any, schedule_id: str) -> Any:
        found = await self.sources.schedules.show(schedule_id)
        return page(
            "schedule.html",
            now=self.sources.now(),
            schedule=found,
            facts=[
                (name, found.definition[name], name in MOMENTS) for name in DEFINITION_SHOWN if _is_said(found, name)
            ],
            api=f"/api/v1/schedules/{found.id}",
        )


@blueprint.route("/schedules/{schedule_id}/pause", name="pause")
class Pause(View):
    async def post(self, request: Any, schedule_id: str) -> Any:
        """From the button of the page. That it was our page, the middleware has made sure of."""
        found = await self.sources.schedules.pause(schedule_id, by=asker(request, None, BY_PAGE))
        raise aiohttp_web.HTTPSeeOther(f"/schedules/{found.id}")


@blueprint.route("/schedules/{schedule_id}/unpause", name="unpause")
class Unpause(View):
    async def post(self, request: Any, schedule_id: str) -> Any:
        found = await self.sources.schedules.unpause(schedule_id, by=asker(request, None, BY_PAGE))
        raise aiohttp_web.HTTPSeeOther(f"/schedules/{found.id}")


def _is_said(found: Any, name: str) -> bool:
    return found.definition.get(name) is not None
