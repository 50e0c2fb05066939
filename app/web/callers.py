"""What the gate notes on a request, and what views ask of it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from famulus.security.proxies import Origin
from famulus.security.scopes import Caller, Scope

ORIGIN: Final = web.RequestKey("famulus.origin", Origin)
CALLER: Final = web.RequestKey("famulus.caller", Caller)
"""Missing where a path is open to everybody."""
FORM_TOKEN: Final = web.RequestKey("famulus.form_token", str)
"""What the forms of the page have to carry; missing where a browser sends nothing by itself."""


def caller_of(request: web.Request) -> Caller | None:
    """Who asks; ``None`` where nobody has to say so."""
    caller = request.get(CALLER)
    return caller if caller is not None and caller.name else None


def asker(request: web.Request, given: str | None, default: str) -> str:
    """The name that is recorded. Where callers are known it is theirs, whatever the request says."""
    caller = caller_of(request)
    return caller.name if caller is not None else given or default


def origin_of(request: web.Request) -> Origin:
    return request[ORIGIN]


def may_operate(request: web.Request) -> bool:
    caller = request.get(CALLER)
    return caller is None or caller.may(Scope.OPERATOR)
