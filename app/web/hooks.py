"""Webhooks: a POST to a URL with a token lets a step go on, once. A GET, as of a preview of a link, changes nothing."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web as aiohttp_web
from faust import web

from famulus.engine.hooks import Call
from famulus.security.calls import HEADER

from .fields import RequestError
from .rendering import json_response
from .sources import View

BODY_BYTES: Final = 64 * 1024
TOKEN_CHARACTERS: Final = 256
CALL_SECONDS: Final = 5.0

blueprint = web.Blueprint("hooks")


@blueprint.route("/hooks/{token}", name="hook")
class Hook(View):
    async def post(self, request: Any, token: str) -> Any:
        """202: the step goes on, with the body as its output.

        404 for a token that is unknown or used, 410 for one that has expired, 403 without the signature that its step
        wants.
        """
        body = await _body(request)
        call = Call(payload=_payload(request, body), body=body, signature=request.headers.get(HEADER))
        await self.sources.hooks.call(token[:TOKEN_CHARACTERS], call, patience_seconds=CALL_SECONDS)
        return json_response({"accepted": True}, status=202)


async def _body(request: aiohttp_web.Request) -> bytes:
    body = await request.content.read(BODY_BYTES + 1)
    while len(body) <= BODY_BYTES and (more := await request.content.read(BODY_BYTES + 1 - len(body))):
        body += more
    if len(body) > BODY_BYTES:
        raise RequestError(f"the body is too large, at most {BODY_BYTES} bytes are accepted", status=413)
    return body


def _payload(request: aiohttp_web.Request, body: bytes) -> Any:
    """JSON as it is, a form as an object of texts, anything else as a text; null without a body."""
    if not body:
        return None
    try:
        if request.content_type == "application/json":
            return msgspec.json.decode(body)
        text = body.decode()
    except RecursionError as error:
        raise RequestError("the body is nested too deeply", status=400) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"the body cannot be read as {request.content_type}: {error}", status=400) from error
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(text, keep_blank_values=True))
    if request.content_type.startswith("multipart/"):
        raise RequestError("the body has several parts, expected JSON, a form or a text", status=415)
    return text
