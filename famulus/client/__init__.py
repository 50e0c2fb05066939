"""The client of famulus for Python programs: start runs, follow them, await their results. See docs/howto/client.md."""

from famulus.client.famulus import Famulus
from famulus.client.run import Run
from famulus.client.transport import Transport
from famulus.engine.reading import EventView, RunSummary, RunView, StepView
from famulus.engine.starting import StartOutcome
from famulus.errors import RunCancelledError, RunFailedError

__all__ = [
    "EventView",
    "Famulus",
    "Run",
    "RunCancelledError",
    "RunFailedError",
    "RunSummary",
    "RunView",
    "StartOutcome",
    "StepView",
    "Transport",
]
