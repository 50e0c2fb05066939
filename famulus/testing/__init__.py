"""Try blueprints without servers: in memory, in virtual time, and with a crash after every call of the store."""

from famulus.errors import CommandRefusedError
from famulus.testing.crash import CrashReport, Finding, Kind, crash_test
from famulus.testing.facts import Fact, RunRecord
from famulus.testing.run import TestRun, run
from famulus.testing.stage import Attempt
from famulus.testing.stubs import sequence, takes

__all__ = [
    "Attempt",
    "CommandRefusedError",
    "CrashReport",
    "Fact",
    "Finding",
    "Kind",
    "RunRecord",
    "TestRun",
    "crash_test",
    "run",
    "sequence",
    "takes",
]
