"""Pages for people: all runs, and one of them. They need no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

from faust import web
from yarl import URL

from famulus.blueprint import to_mermaid
from famulus.engine.explaining.explanation import RunExplanation
from famulus.engine.reading import RunView, is_ended
from famulus.errors import RunNotFoundError
from famulus.flow.status import RunStatus
from famulus.ids import BlueprintId, Digest, NodeId

from .explain_api import moment
from .forms import fields_of
from .rendering import bars, page
from .requests import REASON_CHARACTERS, run_id_of, runs_query
from .sources import View, Window

WINDOWS_SHOWN: Final = 30
BAR_HEIGHT: Final = 40
STEPS_SHOWN: Final = 500
EVENTS_SHOWN: Final = 200
EXPLAINED_SHOWN: Final = 50
RESUMED_KINDS: Final = frozenset({"timer", "signal", "webhook"})
"""What somebody may end who looks at the page; a child run or items have to end themselves."""
FOLLOW_SECONDS: Final = 2

blueprint = web.Blueprint("pages")


@blueprint.route("/", name="runs")
class Runs(View):
    async def get(self, request: Any) -> Any:
        asked = runs_query(request.query)
        now = self.sources.now()
        runs = await self.sources.reader.recent(
            limit=asked.limit, before=asked.before, status=asked.status, blueprint_id=asked.blueprint
        )
        older = URL("/").with_query(asked.parameters(before=runs[-1].created_at)) if len(runs) == asked.limit else None
        return page(
            "runs.html",
            now=now,
            runs=runs,
            asked=asked,
            older=None if older is None else str(older),
            statuses=list(RunStatus),
            board=self.sources.board.totals(),
            throughput=_throughput(self.sources.throughput.latest(count=WINDOWS_SHOWN, now=now)),
            worker=self.sources.settings.worker,
        )


@blueprint.route("/runs/{run_id}", name="run")
class Run(View):
    async def get(self, request: Any, run_id: str) -> Any:
        """With `follow`, the browser loads it again and again until the run has ended."""
        known = run_id_of(run_id)
        try:
            view = await self.sources.reader.show(known)
        except RunNotFoundError:
            return self._unknown(await self.sources.explainer.explain(known))
        events = await self.sources.reader.events(known, limit=EVENTS_SHOWN)
        has_ended = is_ended(view.summary.status)
        explanation = None if has_ended else await self.sources.explainer.explain(known)
        return page(
            "run.html",
            now=self.sources.now(),
            run=view.summary,
            view=view,
            steps=view.steps[:STEPS_SHOWN],
            events=events,
            events_shown=EVENTS_SHOWN,
            explanation=explanation,
            explained=EXPLAINED_SHOWN,
            moment=moment,
            is_ended=has_ended,
            follows="follow" in request.query and not has_ended,
            follow_seconds=FOLLOW_SECONDS,
            drawing=await self._drawing(view),
            api=f"/api/v1/runs/{known}",
            blueprint_url=_blueprint_url(view),
            reason_characters=REASON_CHARACTERS,
            fields_of=fields_of,
            can_be_resumed=RESUMED_KINDS,
            has_failed=any(step.status in ("failed", "parked") for step in view.steps),
        )

    @staticmethod
    def _unknown(explanation: RunExplanation) -> Any:
        """No run, and perhaps a dead letter that says why."""
        letters = [each.details["letter_id"] for each in explanation.of_run if each.kind == "dead_letter"]
        return page("unknown_run.html", status=404, explanation=explanation, letters=letters, moment=moment)

    async def _drawing(self, view: RunView) -> str:
        run = view.summary
        graph = await self.sources.catalog.pinned(
            Digest(view.digest), blueprint_id=BlueprintId(run.blueprint_id), version=run.version
        )
        statuses: Mapping[NodeId, str] = {step.node_id: step.status for step in view.steps}
        return to_mermaid(graph.blueprint, statuses=statuses)


def _throughput(windows: Sequence[Window]) -> dict[str, Any]:
    """The windows as bars, and the mean of those that are over."""
    over = windows[:-1]
    seconds = sum(after.start - before.start for before, after in pairwise(windows))
    heights = bars([window.steps for window in windows], height=BAR_HEIGHT)
    return {
        "bars": list(zip(windows, heights, strict=True)),
        "height": BAR_HEIGHT,
        "minutes": seconds / 60,
        "steps": sum(window.steps for window in windows),
        "runs": sum(window.runs for window in windows),
        "steps_per_second": sum(window.steps for window in over) / seconds if seconds else 0.0,
    }


def _blueprint_url(view: RunView) -> str:
    url = URL(f"/api/v1/blueprints/{quote(view.summary.blueprint_id, safe='')}", encoded=True)
    return str(url.with_query(version=view.summary.version))
