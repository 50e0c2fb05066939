"""What holds for every request, whatever view it is for.

    secured ─> answered ─> guarded ─> admitted ─> the view

`admitted` asks who it is (`gate.py`), and tells the log of everything that somebody changes. `guarded` refuses what a
web page of somebody else could make the browser of an operator send: a name that was made to point here (DNS
rebinding), and unsafe methods from another origin. `answered` makes a response of every error, JSON under `/api`,
`/health` and `/hooks`, else a page; what went wrong inside is told to the log and not to the client. `secured` adds the
headers that keep a browser from running anything but what we serve.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from faust.web.exceptions import WebError
from yarl import URL

from famulus.errors import (
    AccessDeniedError,
    BadRecordError,
    BlueprintConflictError,
    BlueprintError,
    BlueprintNotFoundError,
    CommandRefusedError,
    DeadLetterNotFoundError,
    FamulusError,
    HookExpiredError,
    HookNotFoundError,
    InputError,
    LetterRefusedError,
    OutputError,
    RetryableError,
    RunConflictError,
    RunNotFoundError,
    ScheduleConflictError,
    ScheduleError,
    ScheduleNotFoundError,
)
from famulus.security.audit import audit
from famulus.security.loopback import is_loopback
from famulus.settings import Settings

from .callers import ORIGIN, caller_of
from .fields import RequestError
from .gate import GATE, SAFE_METHODS, is_same_origin
from .login import LOGIN_PATH, login_page
from .rendering import json_response, page, shown_to

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 20.0
RETRY_AFTER_SECONDS: Final = 2
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
STATUS_OF: Final[Sequence[tuple[type[FamulusError], int]]] = (
    (BlueprintNotFoundError, 404),
    (RunNotFoundError, 404),
    (HookNotFoundError, 404),
    (HookExpiredError, 410),
    (AccessDeniedError, 403),
    (DeadLetterNotFoundError, 404),
    (LetterRefusedError, 409),
    (ScheduleNotFoundError, 404),
    (BlueprintConflictError, 409),
    (RunConflictError, 409),
    (CommandRefusedError, 409),
    (ScheduleConflictError, 409),
    (BlueprintError, 422),
    (ScheduleError, 422),
    (InputError, 422),
    (OutputError, 413),
    (RetryableError, 503),
)


def middlewares(settings: Settings) -> list[Middleware]:
    """Outermost first."""
    return [_secured, _answered, _guard(settings), _admitted]


@web.middleware
async def _secured(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static/") else "no-store")
    return response


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _error(request, error.status, _said_by_aiohttp(request, error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:  # noqa: BLE001  # the edge: everything becomes a response
        return _response_to(request, error)


def _response_to(request: web.Request, error: Exception) -> web.Response:
    status = _status_of(error)
    what = {"action": "request_failed", "path": _told_of(request)}
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", exc_info=error, extra=what)
        return _error(request, status, "this is an error of famulus; the log of the worker tells more")
    message = f"no answer within {ANSWER_SECONDS:g} s: ask for less" if isinstance(error, TimeoutError) else str(error)
    response = _error(request, status, message, problems=getattr(error, "problems", ()), error=error)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestError) and error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("request not answered: %s", message, extra=what)
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _status_of(error: Exception) -> int:
    match error:
        case RequestError():
            return error.status
        case WebError():
            return int(error.code or 500)
        case BadRecordError():
            return 413 if error.code == "too_large" else 422
        case TimeoutError():
            return 503
        case _:
            return next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)


def _guard(settings: Settings) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[ORIGIN] = request.app[GATE].origin_of(request)
        host = URL(f"http://{request.host}").host or ""
        # Where callers are asked who they are, such a name helps nobody: the browser has no cookie for it.
        is_open = settings.insecure or settings.auth == "on"
        if is_loopback(settings.web_host) and not is_open and not is_loopback(host):
            raise RequestError(f"this worker is not called {host[:80]!r}, only localhost", status=421)
        if request.method not in SAFE_METHODS and not is_same_origin(request):
            raise RequestError("the request comes from a page of another site", status=403)
        return await handler(request)

    return guarded


@web.middleware
async def _admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    await request.app[GATE].admit(request)
    with shown_to(request):
        if request.method in SAFE_METHODS:
            return await handler(request)
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as answer:
            status = answer.status
            raise
        except Exception as error:
            status = _status_of(error)
            raise
        else:
            return response
        finally:
            _audit(request, status)


def _told_of(request: web.Request) -> str:
    """The path for the log. That of a webhook is its token, and is not told."""
    return "/hooks/..." if request.path.startswith("/hooks/") else request.path


def _audit(request: web.Request, status: int) -> None:
    """What was asked for, by whom, and how it was answered; of a webhook without its token."""
    caller = caller_of(request)
    resource = request.match_info.route.resource
    route = "" if resource is None else resource.canonical
    audit(
        f"{request.method} {route}",
        by=caller.name if caller is not None else "",
        client=request[ORIGIN].client,
        status=status,
        **{name: value for name, value in request.match_info.items() if name != "token"},
    )


def _error(
    request: web.Request,
    status: int,
    message: str,
    *,
    problems: Sequence[str] = (),
    error: Exception | None = None,
) -> web.Response:
    if request.path.startswith(("/api/", "/health/", "/hooks/")):
        body: dict[str, Any] = {"status": status, "message": message}
        if isinstance(error, FamulusError):
            # Ours are for programs too: `famulus.client` raises them again.
            body |= {"type": type(error).__name__, "attributes": _attributes(error)}
        return json_response({"error": {**body, "problems": problems} if problems else body}, status=status)
    if status == HTTPStatus.UNAUTHORIZED:
        return login_page(request, message if request.path == LOGIN_PATH else "", status=status)
    title = HTTPStatus(status).phrase
    return page("error.html", status=status, title=title, message=message, problems=problems)


def _attributes(error: FamulusError) -> dict[str, Any]:
    """The facts of an error: texts, numbers, lists of texts."""
    return {name: v for name, v in vars(error).items() if isinstance(v, str | int | float | tuple | None)}


def _said_by_aiohttp(request: web.Request, error: web.HTTPException) -> str:
    match error:
        case web.HTTPNotFound():
            return f"there is nothing at {request.path[:200]}"
        case web.HTTPMethodNotAllowed():
            return f"{request.method} is not possible here, but {', '.join(sorted(error.allowed_methods))}"
        case web.HTTPRequestEntityTooLarge():
            return f"{error.text} (FAMULUS_WEB_MAX_BODY_BYTES)"
        case _:
            return error.text or error.reason
