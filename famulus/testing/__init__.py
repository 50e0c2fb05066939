"""Try blueprints without servers: in memory, in virtual time, and with a crash after every call of the store."""

from famulus.testing.facts import Fact, RunRecord
from famulus.testing.run import CommandRefusedError, TestRun, run
from famulus.testing.stage import Attempt
from famulus.testing.stubs import sequence, takes

__all__ = [
    "Attempt",
    "CommandRefusedError",
    "Fact",
    "RunRecord",
    "TestRun",
    "run",
    "sequence",
    "takes",
]
