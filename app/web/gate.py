"""The gate: every request passes here and shows who it comes from, before any view sees it.

With `FAMULUS_AUTH=on` a caller is known by a token (`Authorization: Bearer`), by the session of a browser that has
logged in, or by what a trusted proxy says. Looking needs the scope viewer, anything else operator. What is open to
everybody stands in one list here; a view that is added is closed.

What a browser sends by itself (the cookie of its session, or of the proxy's) may be sent for a page of somebody else.
So an unsafe request that rests on it must come from a page of ours (`Origin`, `Sec-Fetch-Site`) and carry what only
our pages know: the token of their forms, or a header that no other site can make a browser send.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from famulus.ports import TokenStore
from famulus.security.failures import Failures
from famulus.security.keyring import Keyring
from famulus.security.proxies import Origin, Proxies, networks
from famulus.security.scopes import Caller, Scope
from famulus.settings import Settings

from .callers import CALLER, FORM_TOKEN, ORIGIN
from .fields import RequestError
from .rendering import FORM_FIELD

if TYPE_CHECKING:
    from ..worker import FamulusApp  # noqa: TID252  # in a wheel, these folders lie inside a package

OPEN: Final = frozenset(
    {
        "/health/live",
        "/health/ready",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/static",
        "/login",
        "/hooks/{token}",  # whoever has the URL has the right: it works once
    }
)
"""Paths, as the routes have them, that ask nobody who they are."""
FOR_VIEWERS: Final = frozenset({"/logout"})
"""Paths of unsafe methods that need no operator."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
log = logging.getLogger(__name__)

BEARER: Final = "bearer "
COOKIE: Final = "famulus_session"
SECURE_COOKIE: Final = "__Host-famulus_session"
"""Where the connection is secure: a browser takes a cookie of this name only over HTTPS, and from this host alone."""
REQUEST_HEADER: Final = "X-Famulus-Request"
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
ANYBODY: Final = Caller(name="", scope=Scope.ADMIN)
"""Whoever asks where nobody is asked."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Who a request comes from, and what its forms have to carry; ``None`` where a browser sends nothing by itself."""

    caller: Caller
    form_token: str | None = None


class Gate:
    def __init__(
        self,
        settings: Settings,
        *,
        tokens: Callable[[], TokenStore],
        secret: Callable[[], bytes],
        now: Callable[[], float] = time.time,
    ) -> None:
        """The secret is that of the installation: any worker may be asked for the next page."""
        self.is_on = settings.auth == "on"
        self.session_seconds = settings.session_seconds
        self.keyring = Keyring(tokens, now=now, session_seconds=settings.session_seconds)
        self.failures = Failures(settings.auth_failures, now=now)
        roles = (text.rpartition("=") for text in settings.proxy_roles)
        self._proxies = Proxies(networks(settings.trusted_proxies), {group: Scope(scope) for group, _, scope in roles})
        self._secret = secret

    def origin_of(self, request: web.Request) -> Origin:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        return self._proxies.origin(
            peer=str(peer[0]) if isinstance(peer, tuple) and peer else "",
            is_secure=request.scheme == "https",
            host=request.host,
            headers=_single(request),
        )

    async def admit(self, request: web.Request) -> None:
        """Note on the request who it comes from. Raises `RequestError` for whoever may not ask that."""
        if not self.is_on:
            request[CALLER] = ANYBODY
            return
        where = _route_of(request)
        if where in OPEN:
            return
        shown = await self._shown(request)
        if shown is None:
            raise RequestError("log in, or send Authorization: Bearer and a token (famulus token create)", status=401)
        request[CALLER] = shown.caller
        if shown.form_token is not None:
            request[FORM_TOKEN] = shown.form_token
        if request.method in SAFE_METHODS:
            return
        if where not in FOR_VIEWERS and not shown.caller.may(Scope.OPERATOR):
            raise RequestError(
                f"{shown.caller.name} is a {shown.caller.scope} and may only look: this needs an operator", status=403
            )
        if shown.form_token is not None:
            await _check_page(request, shown.form_token)

    async def try_token(self, request: web.Request, presented: str) -> tuple[str, Caller]:
        """A session for the holder of a token. Raises `RequestError` if it is not good, or was wrong too often."""
        client = request[ORIGIN].client
        self._hold_off(client, presented)
        begun = await self.keyring.begin_session(presented)
        if begun is None:
            raise self._wrong(client)
        return begun

    async def _shown(self, request: web.Request) -> Shown | None:
        """Who the request comes from; ``None`` if it does not say. Raises `RequestError` if it says so wrongly."""
        header = request.headers.get("Authorization", "")
        if header[: len(BEARER)].lower() == BEARER:
            return Shown(await self._bearer(request, header[len(BEARER) :].strip()))
        origin = request[ORIGIN]
        cookie = request.cookies.get(SECURE_COOKIE if origin.is_secure else COOKIE)
        if cookie:
            caller = await self.keyring.holder_of_session(cookie)
            if caller is not None:
                return Shown(caller, hashlib.sha256(b"form\0" + cookie.encode()).hexdigest())
        if origin.caller is not None:
            name = b"form\0" + origin.caller.name.encode()
            return Shown(origin.caller, hmac.new(self._secret(), name, hashlib.sha256).hexdigest())
        return None

    async def _bearer(self, request: web.Request, presented: str) -> Caller:
        client = request[ORIGIN].client
        self._hold_off(client, presented)
        caller = await self.keyring.holder_of_token(presented)
        if caller is None:
            raise self._wrong(client)
        return caller

    def _wrong(self, client: str) -> RequestError:
        self.failures.note(client)
        log.warning("a wrong token comes from %s", client, extra={"action": "token_refused", "client": client})
        return RequestError("there is no such token, or it has expired or was revoked", status=401)

    def _hold_off(self, client: str, presented: str) -> None:
        """Whoever was let in a moment ago is let in still: one proxy or address may stand for many clients."""
        wait = self.failures.wait_seconds(client)
        if wait and not self.keyring.knows(presented):
            raise RequestError(
                f"too many wrong tokens come from {client}: wait {wait:.0f} s", status=429, retry_after=wait
            )


GATE: Final = web.AppKey("famulus.gate", Gate)


def gate_of(app: FamulusApp) -> Gate:
    return Gate(app.settings, tokens=lambda: app.tokens, secret=lambda: app.engine.options.hook_secret)


def is_same_origin(request: web.Request) -> bool:
    """Browsers say where a request comes from; programs do not, and nobody can make them send it."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    named = request.headers.get("Origin")
    if named is None:
        return True
    try:
        origin = URL(named)
        ours = URL(f"{origin.scheme}://{request[ORIGIN].host}")
    except ValueError:
        return False
    # Either may leave out the port that its scheme has anyway.
    return origin.host is not None and (origin.host, origin.port) == (ours.host, ours.port)


async def _check_page(request: web.Request, form_token: str) -> None:
    """That the same origin is named where one is, the guard has seen to for all requests."""
    if request.headers.get(REQUEST_HEADER):
        return
    says_where_from = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if says_where_from and request.content_type in FORM_TYPES:
        sent = (await request.post()).get(FORM_FIELD)
        if isinstance(sent, str) and hmac.compare_digest(sent.encode(), form_token.encode()):
            return
    raise RequestError(
        f"this may come from a page of somebody else: send the form of our page again, or the header {REQUEST_HEADER}",
        status=403,
    )


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _single(request: web.Request) -> Mapping[str, str]:
    """Headers that came several times are one list, as a proxy that adds to them means it."""
    return CIMultiDict({name: ",".join(request.headers.getall(name)) for name in request.headers})
