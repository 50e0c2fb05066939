"""Where a person gives a token, and gets a session for the browser instead: a cookie that no script can read."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web as aiohttp_web
from faust import web

from famulus.security.audit import audit
from famulus.security.tokens import PRESENTED_CHARACTERS_MAX

from .callers import ORIGIN, origin_of
from .gate import COOKIE, GATE, SECURE_COOKIE
from .rendering import page
from .sources import View

LOGIN_PATH: Final = "/login"
NEXT_CHARACTERS: Final = 500

blueprint = web.Blueprint("login")


def login_page(request: aiohttp_web.Request, message: str = "", *, status: int = 200) -> aiohttp_web.Response:
    """The form; after it, the browser is led to where it wanted to go."""
    wanted = request.query.get("next", "/") if request.path == LOGIN_PATH else request.path_qs
    return page("login.html", status=status, message=message, next=_inside(wanted))


@blueprint.route(LOGIN_PATH, name="login")
class Login(View):
    async def get(self, request: Any) -> Any:
        return login_page(request)

    async def post(self, request: Any) -> Any:
        """To where the browser wanted to go; 401 and the form again for a token that is not good."""
        filled_in = await request.post()
        presented = str(filled_in.get("token") or "").strip()[: PRESENTED_CHARACTERS_MAX + 1]
        gate = request.app[GATE]
        secret, caller = await gate.try_token(request, presented)
        audit("login", by=caller.name, client=request[ORIGIN].client)
        answer = aiohttp_web.HTTPSeeOther(_inside(str(filled_in.get("next") or "/")))
        _set_cookie(request, answer, secret)
        raise answer


@blueprint.route("/logout", name="logout")
class Logout(View):
    async def post(self, request: Any) -> Any:
        name = _cookie_name(request)
        presented = request.cookies.get(name)
        if presented:
            await request.app[GATE].keyring.end_session(presented)
        answer = aiohttp_web.HTTPSeeOther(LOGIN_PATH)
        answer.del_cookie(name, path="/", secure=origin_of(request).is_secure, httponly=True, samesite="Lax")
        raise answer


def _set_cookie(request: aiohttp_web.Request, answer: aiohttp_web.StreamResponse, secret: str) -> None:
    answer.set_cookie(
        _cookie_name(request),
        secret,
        max_age=round(request.app[GATE].session_seconds),
        path="/",
        secure=origin_of(request).is_secure,
        httponly=True,
        samesite="Lax",
    )


def _cookie_name(request: aiohttp_web.Request) -> str:
    return SECURE_COOKIE if origin_of(request).is_secure else COOKIE


def _inside(target: str) -> str:
    r"""The target if it is a path of ours: `//host` and `/\host` lead a browser to another site."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\", LOGIN_PATH)) and target.isprintable()
    return target if is_ours and len(target) <= NEXT_CHARACTERS else "/"
