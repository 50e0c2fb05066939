"""The application out of an installed wheel: `faust -A famulus.application worker`, or `famulus worker`.

In the wheel the folders `app`, `agents` and `tables` lie beside this file, under names that nobody else uses. In a
checkout they lie at its top, and are found there under the same names.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust

from famulus.settings import Settings
from famulus.stacks.defaults import with_servers

if TYPE_CHECKING:
    from famulus.nodes import Registry

    app: faust.App

__all__ = ["app", "compose"]

if not (Path(__file__).parent / "app").is_dir():
    __path__.append(str(Path(__file__).parents[2]))


def compose(settings: Settings, registry: Registry | None = None) -> faust.App:
    """Put the three folders together into a Faust application; without a registry, with what the settings name."""
    factory = importlib.import_module(f"{__name__}.app.factory")
    made: faust.App = factory.create_app(
        settings,
        agents=importlib.import_module(f"{__name__}.agents"),
        tables=importlib.import_module(f"{__name__}.tables"),
        registry=registry,
    )
    return made


def __getattr__(name: str) -> Any:
    """`app` is composed when it is first asked for: who only wants `compose` needs no servers."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["app"] = compose(with_servers(Settings.load()))
    return made
