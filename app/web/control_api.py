"""What is asked of runs over HTTP: each command is a POST, answered by what the owner of the run makes of it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from faust import web

from famulus.engine.asking import CommandOutcome

from .api import run_json, started_response
from .rendering import json_response
from .requests import BY_API, command_request, fork_request, run_id_of
from .sources import View

COMMAND_SECONDS: Final = 5.0

blueprint = web.Blueprint("control")


class _Command(View):
    name: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    patience_seconds: ClassVar[float | None] = None

    async def post(self, request: Any, run_id: str) -> Any:
        """200: the owner has recorded it; 202: it has said nothing yet; 409: it refuses, and the message says why."""
        known = run_id_of(run_id)
        asked = await command_request(request, by=BY_API, fields=self.fields)
        done = await self.sources.starter.commands.send(
            known,
            self.name,
            asked.given,
            by=asked.by,
            reason=asked.reason,
            command_id=asked.command_id,
            patience_seconds=COMMAND_SECONDS if self.patience_seconds is None else self.patience_seconds,
        )
        return json_response(
            {
                "requested": self.name,
                "outcome": done.outcome,
                "command_id": done.command_id,
                "run": run_json(done.run),
            },
            status=200 if done.outcome is CommandOutcome.ACCEPTED else 202,
        )


@blueprint.route("/runs/{run_id}/cancel", name="cancel")
class Cancel(_Command):
    name = "cancel"
    fields = ("grace_seconds",)
    patience_seconds = 0.0
    """It is answered at once: where it leads the run itself shows."""


@blueprint.route("/runs/{run_id}/pause", name="pause")
class Pause(_Command):
    name = "pause"


@blueprint.route("/runs/{run_id}/unpause", name="unpause")
class Unpause(_Command):
    name = "unpause"


@blueprint.route("/runs/{run_id}/signal", name="signal")
class Signal(_Command):
    name = "signal"
    fields = ("name", "payload")


@blueprint.route("/runs/{run_id}/resume", name="resume")
class Resume(_Command):
    name = "resume"
    fields = ("step_id", "output", "action")


@blueprint.route("/runs/{run_id}/retry", name="retry")
class Retry(_Command):
    name = "retry"
    fields = ("step_id",)


@blueprint.route("/runs/{run_id}/rerun", name="rerun")
class Rerun(_Command):
    name = "rerun"
    fields = ("step_id", "context")


@blueprint.route("/runs/{run_id}/limit", name="limit")
class Limit(_Command):
    name = "limit"
    fields = ("step_id", "max_concurrency", "tolerated_failures")


@blueprint.route("/runs/{run_id}/migrate", name="migrate")
class Migrate(_Command):
    name = "migrate"
    fields = ("version",)


@blueprint.route("/runs/{run_id}/fork", name="fork")
class Fork(View):
    async def post(self, request: Any, run_id: str) -> Any:
        """Answered as a start is; the run of the path is left as it is."""
        known = run_id_of(run_id)
        asked = await fork_request(request, by=BY_API)
        started = await self.sources.starter.fork(
            known,
            asked.from_step,
            context=asked.context,
            run_id=asked.run_id,
            by=asked.by,
            patience_seconds=COMMAND_SECONDS,
        )
        return started_response(started)
