"""JSON over HTTP: register, list, show, pause, trigger and delete schedules. See docs/reference/http-api.md."""

from __future__ import annotations

from typing import Any, Final

from faust import web

from famulus.engine.scheduling.book import ScheduleOutcome, ScheduleView

from .api import PREFIX, STATUS_OF
from .callers import asker
from .fields import RequestError, json_object
from .rendering import json_response
from .requests import BY_API, asked_by, trigger_request
from .sources import View

STATUS_OF_OUTCOME: Final = {
    ScheduleOutcome.CREATED: 201,
    ScheduleOutcome.EXISTING: 200,
    ScheduleOutcome.REPLACED: 200,
}

blueprint = web.Blueprint("schedules-api")


@blueprint.route("/schedules", name="schedules")
class Schedules(View):
    async def get(self, _request: Any) -> Any:
        """All of them, by id, each with its last run."""
        found = await self.sources.schedules.all()
        return json_response({"schedules": [_schedule(each) for each in found]})

    async def post(self, request: Any) -> Any:
        """201 for a new one, 200 for the same one again, or if `replace` puts it in the place of another; else 409."""
        replace = request.query.get("replace") or "false"
        if replace not in ("true", "false"):
            raise RequestError(f"replace is {replace[:40]!r}, expected true or false", status=400)
        document = await json_object(request)
        registered = await self.sources.schedules.create(
            {**document, "by": asker(request, document.get("by"), BY_API)}, replace_old=replace == "true"
        )
        return json_response(
            {"outcome": registered.outcome, "schedule": _schedule(registered.schedule)},
            status=STATUS_OF_OUTCOME[registered.outcome],
            headers={"Location": f"{PREFIX}/schedules/{registered.schedule.id}"},
        )


@blueprint.route("/schedules/{schedule_id}", name="schedule")
class Schedule(View):
    async def get(self, _request: Any, schedule_id: str) -> Any:
        return json_response(_schedule(await self.sources.schedules.show(schedule_id)))

    async def delete(self, _request: Any, schedule_id: str) -> Any:
        """Runs that it has started go on."""
        await self.sources.schedules.delete(schedule_id)
        return json_response({"deleted": schedule_id})


@blueprint.route("/schedules/{schedule_id}/pause", name="pause")
class Pause(View):
    async def post(self, request: Any, schedule_id: str) -> Any:
        by = await asked_by(request, default=BY_API)
        return json_response({"schedule": _schedule(await self.sources.schedules.pause(schedule_id, by=by))})


@blueprint.route("/schedules/{schedule_id}/unpause", name="unpause")
class Unpause(View):
    async def post(self, request: Any, schedule_id: str) -> Any:
        by = await asked_by(request, default=BY_API)
        return json_response({"schedule": _schedule(await self.sources.schedules.unpause(schedule_id, by=by))})


@blueprint.route("/schedules/{schedule_id}/trigger", name="trigger")
class Trigger(View):
    async def post(self, request: Any, schedule_id: str) -> Any:
        """The run of a time, by default of now. The statuses are those of a start."""
        asked = await trigger_request(request, by=BY_API)
        started = await self.sources.schedules.trigger(schedule_id, at=asked.at, by=asked.by)
        status = None if started.summary is None else started.summary.status
        return json_response(
            {"outcome": started.outcome, "run": {"run_id": started.run_id, "status": status}},
            status=STATUS_OF[started.outcome],
            headers={"Location": f"{PREFIX}/runs/{started.run_id}"},
        )


def _schedule(view: ScheduleView) -> dict[str, Any]:
    here = f"{PREFIX}/schedules/{view.id}"
    links = {name: f"{here}/{name}" for name in ("pause", "unpause", "trigger")}
    return {**view.as_json(), "links": {"self": here, **links, "page": f"/schedules/{view.id}"}}
