"""JSON over HTTP: start, list and show runs; register and show blueprints. See docs/reference/http-api.md."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec
from faust import web
from yarl import URL

from famulus.blueprint import lint_document, parse_blueprint
from famulus.engine.reading import RunSummary
from famulus.engine.starting import Started, StartOutcome
from famulus.errors import BlueprintError, BlueprintNotFoundError
from famulus.ids import BlueprintId, RunId
from famulus.ports import StoredBlueprint

from .fields import json_bytes
from .rendering import json_response
from .requests import events_query, run_id_of, runs_query, start_request, steps_query
from .sources import View

PREFIX: Final = "/api/v1"
START_SECONDS: Final = 5.0
STATUS_OF: Final = {StartOutcome.STARTED: 201, StartOutcome.EXISTING: 200, StartOutcome.ACCEPTED: 202}

blueprint = web.Blueprint("api")


@blueprint.route("/runs", name="runs")
class Runs(View):
    async def get(self, request: Any) -> Any:
        """Newest first; `next` leads to older ones."""
        asked = runs_query(request.query)
        found = await self.sources.reader.recent(
            limit=asked.limit, before=asked.before, status=asked.status, blueprint_id=asked.blueprint
        )
        older = asked.parameters(before=found[-1].created_at) if len(found) == asked.limit else None
        return json_response({"runs": [run_json(run) for run in found], "next": _url("/runs", older)})

    async def post(self, request: Any) -> Any:
        """201 when its owner has recorded the run, 202 when it has not yet, 200 if it was started before."""
        asked = await start_request(request)
        started = await self.sources.starter.start(
            BlueprintId(asked.blueprint_id),
            version=asked.version,
            input=asked.input,
            run_id=asked.run_id,
            start_at=asked.start_at,
            by=asked.by,
            patience_seconds=START_SECONDS,
        )
        return started_response(started)


@blueprint.route("/runs/{run_id}", name="run")
class Run(View):
    async def get(self, _request: Any, run_id: str) -> Any:
        view = await self.sources.reader.show(run_id_of(run_id))
        return json_response({**view.as_json(), "links": _links(view.summary.run_id)})


@blueprint.route("/runs/{run_id}/summary", name="summary")
class Summary(View):
    async def get(self, _request: Any, run_id: str) -> Any:
        """Where a run stands: cheap, however many steps it has."""
        summary, _ = await self.sources.reader.summary(run_id_of(run_id))
        return json_response(run_json(summary))


@blueprint.route("/runs/{run_id}/events", name="events")
class Events(View):
    async def get(self, request: Any, run_id: str) -> Any:
        """In order; `next` leads on, and to what has not happened yet."""
        asked = events_query(request.query)
        known = run_id_of(run_id)
        found = await self.sources.reader.events(known, after=asked.after, limit=asked.limit)
        last = found[-1].seq if found else asked.after
        following = _url(f"/runs/{known}/events", {"after": str(last), "limit": str(asked.limit)})
        return json_response({"events": [event.as_json() for event in found], "next": following})


@blueprint.route("/runs/{run_id}/steps", name="steps")
class Steps(View):
    async def get(self, request: Any, run_id: str) -> Any:
        """Every step that is recorded, items and earlier rounds too; `next` leads on, null on the last page."""
        asked = steps_query(request.query)
        known = run_id_of(run_id)
        found = await self.sources.reader.steps(known, after=asked.after, limit=asked.limit)
        more = {"after": str(found[-1][0]), "limit": str(asked.limit)} if len(found) == asked.limit else None
        steps = [{"seq": place, **step.as_json()} for place, step in found]
        return json_response({"steps": steps, "next": _url(f"/runs/{known}/steps", more)})


@blueprint.route("/runs/{run_id}/context", name="context")
class Context(View):
    async def get(self, request: Any, run_id: str) -> Any:
        """The values of the keys that are asked for (`key=a&key=b`), as far as they are there."""
        keys = request.query.getall("key", [])
        return json_response({"context": await self.sources.reader.values(run_id_of(run_id), keys)})


@blueprint.route("/blueprints", name="blueprints")
class Blueprints(View):
    async def get(self, _request: Any) -> Any:
        """Every version of every blueprint."""
        return json_response({"blueprints": [_entry(stored) for stored in await self.sources.blueprints.all()]})

    async def post(self, request: Any) -> Any:
        """Register the blueprint of the body: 201, or 200 if it was registered before. 422 comes with all problems."""
        body = await json_bytes(request)
        issues = lint_document(body, implementations=None)
        if any(issue.severity == "error" for issue in issues):
            problems = [f"{i.path or 'blueprint'}: {i.message}" for i in issues if i.severity == "error"]
            raise BlueprintError(f"the blueprint cannot be used: {'; '.join(problems[:20])}", problems=problems)
        offered = parse_blueprint(body)
        before = await self.sources.blueprints.by_version(offered.id, offered.version)
        stored = await self.sources.catalog.register(offered)
        return json_response(
            {"blueprint": _entry(stored), "warnings": [issue.as_json() for issue in issues]},
            status=201 if before is None else 200,
            headers={"Location": f"{PREFIX}/blueprints/{quote(offered.id, safe='')}"},
        )


@blueprint.route("/blueprints/{blueprint_id}", name="blueprint")
class OneBlueprint(View):
    async def get(self, request: Any, blueprint_id: str) -> Any:
        """The version that was registered last, or the one that `version` names."""
        version, known = request.query.get("version") or None, BlueprintId(blueprint_id)
        store = self.sources.blueprints
        stored = await (store.latest(known) if version is None else store.by_version(known, version))
        if stored is None:
            raise BlueprintNotFoundError(blueprint_id, version)
        return json_response({**_entry(stored), "blueprint": msgspec.Raw(stored.body)})


def started_response(started: Started) -> Any:
    run = {"run_id": started.run_id, "status": None} if started.summary is None else run_json(started.summary)
    return json_response(
        {"outcome": started.outcome, "run": run},
        status=STATUS_OF[started.outcome],
        headers={"Location": f"{PREFIX}/runs/{started.run_id}"},
    )


def run_json(run: RunSummary) -> dict[str, Any]:
    return {**run.as_json(), "links": _links(run.run_id)}


def _links(run_id: RunId) -> dict[str, str]:
    return {
        "self": f"{PREFIX}/runs/{run_id}",
        "events": f"{PREFIX}/runs/{run_id}/events",
        "steps": f"{PREFIX}/runs/{run_id}/steps",
        "cancel": f"{PREFIX}/runs/{run_id}/cancel",
        "page": f"/runs/{run_id}",
    }


def _entry(stored: StoredBlueprint) -> dict[str, Any]:
    return {
        "id": stored.blueprint_id,
        "version": stored.version,
        "digest": stored.digest,
        "registered_at": stored.registered_at,
    }


def _url(path: str, query: dict[str, str] | None) -> str | None:
    return None if query is None else str(URL(f"{PREFIX}{path}").with_query(query))
