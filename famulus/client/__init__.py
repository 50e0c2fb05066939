"""The client of famulus for Python programs: start runs, follow them, await their results. See docs/howto/client.md."""

from famulus.client.famulus import Famulus
from famulus.client.run import Query, Run
from famulus.client.schedules import Schedules
from famulus.client.transport import Transport
from famulus.engine.asking import CommandOutcome
from famulus.engine.reading import EventView, RunSummary, RunView, StepView
from famulus.engine.scheduling.book import ScheduledRun, ScheduleView
from famulus.engine.starting import StartOutcome
from famulus.errors import CommandRefusedError, RunCancelledError, RunFailedError

__all__ = [
    "CommandOutcome",
    "CommandRefusedError",
    "EventView",
    "Famulus",
    "Query",
    "Run",
    "RunCancelledError",
    "RunFailedError",
    "RunSummary",
    "RunView",
    "ScheduleView",
    "ScheduledRun",
    "Schedules",
    "StartOutcome",
    "StepView",
    "Transport",
]
