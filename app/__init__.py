"""The application: `faust -A app worker`.

`app.app` is the Faust application, composed when it is first asked for. The three folders of a checkout are put
together here, those inside the wheel by `famulus.application`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.worker import FamulusApp

    app: FamulusApp

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import agents  # noqa: PLC0415  # not in a wheel, where these names may be somebody else's
    import tables  # noqa: PLC0415
    from famulus.settings import Settings  # noqa: PLC0415
    from famulus.stacks.defaults import with_servers  # noqa: PLC0415

    from .factory import create_app  # noqa: PLC0415

    made = globals()["app"] = create_app(with_servers(Settings.load()), agents=agents, tables=tables)
    return made
