"""JSON over HTTP: look for dead letters, redrive them, drop them. See docs/reference/http-api.md."""

from __future__ import annotations

from typing import Any

from faust import web
from yarl import URL

from famulus.engine.dead_letters.showing import letter_json, listed_json
from famulus.ports import StoredLetter

from .api import PREFIX
from .dead_letters_requests import letter_request, letters_query
from .rendering import json_response
from .sources import View

blueprint = web.Blueprint("dead-letters-api")


@blueprint.route("/dead-letters", name="letters")
class Letters(View):
    async def get(self, request: Any) -> Any:
        """Newest first; `next` leads to older ones."""
        query = letters_query(request.query)
        found = await self.sources.letters.find(query.asked, limit=query.limit, before=query.before)
        more = query.next(found[-1].summary) if len(found) == query.limit else None
        following = None if more is None else str(URL(f"{PREFIX}/dead-letters").with_query(more))
        return json_response({"dead_letters": [listed_json(each) for each in found], "next": following})


@blueprint.route("/dead-letters/{letter_id}", name="letter")
class Letter(View):
    async def get(self, _request: Any, letter_id: str) -> Any:
        """With every byte, in base64."""
        return json_response(_letter(await self.sources.letters.show(letter_id)))


@blueprint.route("/dead-letters/{letter_id}/redrive", name="redrive")
class Redrive(View):
    async def post(self, request: Any, letter_id: str) -> Any:
        """200: the record is on its topic again; 409: it was redriven or dropped before, and `again` is not said."""
        asked = await letter_request(request, "again")
        stored = await self.sources.letters.redrive(letter_id, by=asked.by, again=asked.again)
        return json_response({"outcome": "redriven", "dead_letter": _letter(stored)})


@blueprint.route("/dead-letters/{letter_id}/drop", name="drop")
class Drop(View):
    async def post(self, request: Any, letter_id: str) -> Any:
        asked = await letter_request(request, "reason")
        stored = await self.sources.letters.drop(letter_id, by=asked.by, reason=asked.reason)
        return json_response({"outcome": "dropped", "dead_letter": _letter(stored)})


def _letter(stored: StoredLetter) -> dict[str, Any]:
    letter_id = stored.letter.summary.letter_id
    here = f"{PREFIX}/dead-letters/{letter_id}"
    links = {name: f"{here}/{name}" for name in ("redrive", "drop")}
    return {**letter_json(stored), "links": {"self": here, **links, "page": f"/dead-letters/{letter_id}"}}
