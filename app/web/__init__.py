"""Views of a worker: pages for people, JSON for programs, health for whoever watches over workers.

Every worker serves all of them and shows all runs. Faust's own views are not served. Every request passes the gate
(`gate.py`). Unless that asks who they are (`FAMULUS_AUTH`), nothing but loopback is listened on, except where the
operator says that it is meant (`FAMULUS_INSECURE`).
"""

from __future__ import annotations

from typing import Any

from faust.web.base import BlueprintManager

from famulus.errors import SettingsError
from famulus.security.loopback import is_loopback
from famulus.settings import Settings, variable_of

from ..worker import FamulusApp  # noqa: TID252  # in a wheel, these folders lie inside a package
from . import (
    api,
    control_api,
    control_pages,
    dead_letters_api,
    dead_letters_pages,
    explain_api,
    health,
    hooks,
    login,
    pages,
    schedules_api,
    schedules_pages,
)
from .gate import GATE, gate_of
from .middleware import middlewares
from .rendering import STATIC
from .sources import SOURCES, Board, Sources, Throughput


def application_options(settings: Settings) -> dict[str, Any]:
    """For the aiohttp application. Raises `SettingsError` if strangers could reach it."""
    if not is_loopback(settings.web_host) and settings.auth == "off" and not settings.insecure:
        raise SettingsError(
            variable_of("web_host"),
            f"the views ask nobody who they are, and {settings.web_host!r} is more than this machine: "
            f"set {variable_of('auth')}=on (see `famulus token create`), leave it at 127.0.0.1 behind a proxy that "
            f"does ask, or set {variable_of('insecure')}=1 if that is meant",
        )
    return {"middlewares": middlewares(settings), "client_max_size": settings.web_max_body_bytes}


def register(app: FamulusApp, *, board: Board, throughput: Throughput) -> None:
    """Serve these views, and no others."""
    web: Any = app.web
    web.blueprints = BlueprintManager(
        [
            ("", pages.blueprint),
            ("", control_pages.blueprint),
            ("", schedules_pages.blueprint),
            (api.PREFIX, api.blueprint),
            (api.PREFIX, control_api.blueprint),
            ("", hooks.blueprint),
            (api.PREFIX, schedules_api.blueprint),
            ("", login.blueprint),
            ("", dead_letters_pages.blueprint),
            (api.PREFIX, dead_letters_api.blueprint),
            (api.PREFIX, explain_api.blueprint),
            ("", health.blueprint),
            (api.PREFIX, health.blueprint),
        ]
    )
    web.web_app[GATE] = gate_of(app)
    web.web_app[SOURCES] = Sources(app, board, throughput)
    web.add_static("/static/", STATIC)
