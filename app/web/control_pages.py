"""The buttons of a run's page. That a request comes from our page, the middleware has made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from aiohttp import web as aiohttp_web
from faust import web

from famulus.blueprint import ABSENT
from famulus.ids import RunId

from .callers import asker
from .forms import payload_of
from .requests import BY_PAGE, REASON_CHARACTERS, run_id_of
from .sources import View

ANSWER_SECONDS: Final = 3.0

blueprint = web.Blueprint("control-pages")


class _Button(View):
    name: ClassVar[str]

    async def post(self, request: Any, run_id: str) -> Any:
        """Back to the run once its owner has recorded what was asked; a refusal is a page that says why."""
        known = run_id_of(run_id)
        filled_in = await request.post()
        await self.sources.starter.commands.send(
            known,
            self.name,
            await self.given(known, filled_in),
            by=asker(request, None, BY_PAGE),
            reason=str(filled_in.get("reason") or "")[:REASON_CHARACTERS] or None,
            patience_seconds=ANSWER_SECONDS,
        )
        raise aiohttp_web.HTTPSeeOther(f"/runs/{known}")

    async def given(self, run_id: RunId, filled_in: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002  # for some
        return {}


@blueprint.route("/runs/{run_id}/cancel", name="cancel")
class Cancel(_Button):
    name = "cancel"


@blueprint.route("/runs/{run_id}/pause", name="pause")
class Pause(_Button):
    name = "pause"


@blueprint.route("/runs/{run_id}/unpause", name="unpause")
class Unpause(_Button):
    name = "unpause"


@blueprint.route("/runs/{run_id}/retry", name="retry")
class Retry(_Button):
    name = "retry"


@blueprint.route("/runs/{run_id}/resume", name="resume")
class Resume(_Button):
    name = "resume"

    async def given(self, run_id: RunId, filled_in: Mapping[str, Any]) -> Mapping[str, Any]:
        """A step that does not wait any more has no form; then the owner of the run says so."""
        step_id = str(filled_in.get("step_id") or "")
        view = await self.sources.reader.show(run_id)
        waiting = next((step.waiting for step in view.steps if step.step_id == step_id), None) or {}
        output = payload_of(waiting.get("form"), filled_in)
        named = {"step_id": step_id, "action": str(filled_in.get("action") or "")}
        return {**named, **({} if output is ABSENT else {"output": output})}
