"""Pages for people: dead letters, and one of them with what may be done about it."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web as aiohttp_web
from faust import web
from yarl import URL

from famulus.engine.dead_letters.desk import STATES
from famulus.engine.dead_letters.showing import hex_dump, text_of
from famulus.ports import StoredLetter

from .callers import asker
from .dead_letters_requests import letters_query
from .rendering import page
from .requests import BY_PAGE, REASON_CHARACTERS
from .sources import View

blueprint = web.Blueprint("dead-letters-pages")

HEADER_BYTES_SHOWN: Final = 256


@blueprint.route("/dead-letters", name="letters")
class Letters(View):
    async def get(self, request: Any) -> Any:
        query = letters_query({"state": "open", **request.query})
        found = await self.sources.letters.find(query.asked, limit=query.limit, before=query.before)
        older = URL("/dead-letters").with_query(query.next(found[-1].summary)) if len(found) == query.limit else None
        return page(
            "dead_letters.html",
            letters=found,
            asked=query.asked,
            given=query.given,
            states=STATES,
            older=None if older is None else str(older),
        )


@blueprint.route("/dead-letters/{letter_id}", name="letter")
class Letter(View):
    async def get(self, _request: Any, letter_id: str) -> Any:
        stored = await self.sources.letters.show(letter_id)
        letter = stored.letter
        return page(
            "dead_letter.html",
            letter=letter.summary,
            mark=stored.mark,
            key=_shown(letter.key),
            value=_shown(letter.value),
            headers=[(name, _header(value)) for name, value in letter.headers],
            api=f"/api/v1/dead-letters/{letter.summary.letter_id}",
            reason_characters=REASON_CHARACTERS,
        )


@blueprint.route("/dead-letters/{letter_id}/redrive", name="redrive")
class Redrive(View):
    async def post(self, request: Any, letter_id: str) -> Any:
        """From the button of the page. That it was our page, the middleware has made sure of."""
        again = bool((await request.post()).get("again"))
        _back(await self.sources.letters.redrive(letter_id, by=asker(request, None, BY_PAGE), again=again))


@blueprint.route("/dead-letters/{letter_id}/drop", name="drop")
class Drop(View):
    async def post(self, request: Any, letter_id: str) -> Any:
        reason = str((await request.post()).get("reason") or "") or None
        _back(await self.sources.letters.drop(letter_id, by=asker(request, None, BY_PAGE), reason=reason))


def _back(stored: StoredLetter) -> None:
    raise aiohttp_web.HTTPSeeOther(f"/dead-letters/{stored.letter.summary.letter_id}")


def _shown(value: bytes | None) -> dict[str, Any] | None:
    """The bytes as text where they are one, else as a dump."""
    if value is None:
        return None
    text = text_of(value)
    return {"bytes": len(value), "text": text, "dump": "\n".join(hex_dump(value)) if text is None else ""}


def _header(value: bytes | None) -> str:
    if value is None:
        return "null"
    text = text_of(value)
    return value[:HEADER_BYTES_SHOWN].hex(" ") if text is None else text
