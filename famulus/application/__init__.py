"""The application out of an installed wheel: `faust -A famulus.application worker`, or `famulus worker`.

In the wheel the folders `app`, `agents` and `tables` lie beside this file, under names that nobody else uses. In a
checkout they lie at its top, and are found there under the same names.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.settings import Settings
from famulus.stacks.defaults import with_servers

if TYPE_CHECKING:
    from famulus.application.app.worker import FamulusApp  # type: ignore[import-not-found]  # only there in the wheel

if not (Path(__file__).parent / "app").is_dir():
    __path__.append(str(Path(__file__).parents[2]))


def compose(settings: Settings) -> FamulusApp:
    """Put the three folders together into a Faust application."""
    factory = importlib.import_module(f"{__name__}.app.factory")
    made: FamulusApp = factory.create_app(
        settings,
        agents=importlib.import_module(f"{__name__}.agents"),
        tables=importlib.import_module(f"{__name__}.tables"),
    )
    return made


app = compose(with_servers(Settings.load()))
