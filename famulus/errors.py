"""What can go wrong, as types.

    FamulusError
    ├── TerminalError              trying again changes nothing
    │   ├── BadRecordError         a record that cannot be handled: it becomes a dead letter
    │   ├── BlueprintError         a blueprint that cannot be used; carries every problem with its path
    │   ├── TracingError           a workflow function does what no blueprint can say
    │   ├── BlueprintNotFoundError
    │   ├── BlueprintConflictError the same id and version with other content
    │   ├── RunNotFoundError
    │   ├── DeadLetterNotFoundError
    │   ├── LetterRefusedError     a dead letter that cannot be redriven; it is as it was
    │   ├── HookNotFoundError      a webhook token that no step waits for
    │   ├── HookExpiredError       a webhook token whose time is over; its step waits on
    │   ├── RunConflictError       the same run id with another input or blueprint
    │   ├── CommandRefusedError    a run was asked for something that it cannot do; it is as it was
    │   │   └── RunEndedError      a command for a run that has ended
    │   ├── RunFailedError         the run whose result is awaited has failed; names the step
    │   ├── RunCancelledError      the run whose result is awaited was cancelled
    │   ├── ExpressionError        a condition or transform that cannot be compiled or evaluated
    │   ├── SubflowDepthError      runs are nested too deeply
    │   ├── InputError             what a node is given does not fit what it asks for
    │   │   └── ParameterError     a parameter of a built-in node is missing or wrong; names node and parameter
    │   ├── OutputError            what a node gave cannot be stored
    │   ├── ScheduleError          a schedule that cannot be used; carries every problem
    │   ├── ScheduleNotFoundError
    │   ├── ScheduleConflictError  the same schedule id with another content
    │   ├── SettingsError          a setting is missing or wrong; names the variable
    │   ├── AccessDeniedError      the HTTP API does not know who asks, or that one may not
    │   ├── TokenError             a token that cannot be made or revoked
    │   ├── SecretError            a secret that a step asks for is missing, or none; names it
    │   └── NonRetryableError      raised by node authors: fail the step now
    └── RetryableError             may go through later
        ├── RetryAfter             raised by node authors: try the step again, but not before then
        ├── HeartbeatTimeout       a node did not beat for longer than its heartbeatTimeout
        ├── NodeProcessError       the process that ran a CPU-bound node has died
        ├── StoreUnavailableError
        ├── JoinsUnavailableError
        ├── LimitsUnavailableError
        ├── BusUnavailableError
        ├── ApiUnavailableError    the HTTP API of famulus
        └── OwnershipLostError     the run belongs to another worker now

A message says what happened, where, and what to do. The same facts stand as attributes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FamulusError(Exception):
    """The base of every error that famulus raises on purpose."""


class TerminalError(FamulusError):
    """Trying again changes nothing."""


class RetryableError(FamulusError):
    """May go through later; ``retry_after`` is a hint in seconds, or ``None``."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadRecordError(TerminalError):
    """A record that cannot be handled. ``code`` is stable and goes into the dead letter's headers."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class BlueprintError(TerminalError):
    """A blueprint that cannot be used. ``problems`` holds one sentence each, with its path first."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class TracingError(TerminalError):
    """A function cannot be traced into a blueprint; the message says what to write instead."""


class BlueprintNotFoundError(TerminalError):
    def __init__(self, blueprint_id: str, version: str | None = None, *, needed_by: str | None = None) -> None:
        which = f"blueprint {blueprint_id!r}" + (f" version {version!r}" if version else "")
        needed = f", which node {needed_by!r} names," if needed_by else ""
        super().__init__(
            f"{which}{needed} is not registered: push it with `famulus blueprint push`, "
            "or name its file in FAMULUS_BLUEPRINTS"
        )
        self.blueprint_id = blueprint_id
        self.version = version


class BlueprintConflictError(TerminalError):
    def __init__(self, blueprint_id: str, version: str, *, registered: str, offered: str) -> None:
        super().__init__(
            f"blueprint {blueprint_id!r} version {version!r} is already registered with other content "
            f"(digest {registered[:12]}, offered {offered[:12]}): give the new one another metadata.version"
        )
        self.blueprint_id = blueprint_id
        self.version = version


class RunNotFoundError(TerminalError):
    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} does not exist: list the runs with `famulus run ls`")
        self.run_id = run_id


class HookNotFoundError(TerminalError):
    """Unknown, used, or not waited for yet: whoever calls learns no more."""

    def __init__(self) -> None:
        super().__init__("no step waits for this token; each works once")


class HookExpiredError(TerminalError):
    """Whoever calls had the token, so may learn it: trying again helps no more."""

    def __init__(self) -> None:
        super().__init__("this token has expired; the step waits on, and can be resumed by an operator")


class DeadLetterNotFoundError(TerminalError):
    def __init__(self, letter_id: str) -> None:
        super().__init__(f"there is no dead letter {letter_id[:80]!r}: famulus dlq ls, or it has expired")
        self.letter_id = letter_id


class LetterRefusedError(TerminalError):
    """A dead letter was asked for something that it cannot do; it is as it was."""

    def __init__(self, letter_id: str, command: str, reason: str) -> None:
        super().__init__(f"dead letter {letter_id} refuses {command}: {reason}")
        self.letter_id = letter_id
        self.command = command
        self.reason = reason


class RunConflictError(TerminalError):
    def __init__(self, run_id: str, detail: str) -> None:
        super().__init__(f"run {run_id!r} exists already, with {detail}")
        self.run_id = run_id
        self.detail = detail


class CommandRefusedError(TerminalError):
    """A run was asked for something that it cannot do. It is as it was, but for an event that says so."""

    def __init__(self, run_id: str, command: str, reason: str | None) -> None:
        super().__init__(f"run {run_id!r} refuses {command}: {reason or 'no reason is recorded'}")
        self.run_id = run_id
        self.command = command
        self.reason = reason


class RunEndedError(CommandRefusedError):
    def __init__(self, run_id: str, status: str, *, command: str = "cancel") -> None:
        super().__init__(run_id, command, f"it has ended ({status}), so nothing of it can be changed")
        self.status = status


class RunFailedError(TerminalError):
    """A run has failed, and somebody awaits its result. ``error`` has type, message and traceback of the step."""

    def __init__(
        self, run_id: str, reason: str | None, *, step_id: str | None = None, error: Mapping[str, str] | None = None
    ) -> None:
        where = "" if step_id is None else f" at step {step_id!r}"
        super().__init__(f"run {run_id!r} failed{where}: {reason or 'no reason is recorded'}")
        self.run_id = run_id
        self.reason = reason
        self.step_id = step_id
        self.error = error


class RunCancelledError(TerminalError):
    """A run was cancelled, and somebody awaits its result. Not `asyncio.CancelledError`: the caller goes on."""

    def __init__(self, run_id: str, reason: str | None) -> None:
        super().__init__(f"run {run_id!r} was cancelled: {reason or 'no reason is recorded'}")
        self.run_id = run_id
        self.reason = reason


class ExpressionError(TerminalError):
    def __init__(self, message: str, *, expression: str) -> None:
        super().__init__(f"{message} in expression {expression[:200]!r}")
        self.expression = expression


class SubflowDepthError(TerminalError):
    """Runs are nested too deeply; mostly a blueprint that calls itself without end."""

    def __init__(self, node_id: str, most: int) -> None:
        super().__init__(
            f"node {node_id!r} would start a run inside more than {most} others (FAMULUS_MAX_SUBFLOW_DEPTH); "
            "does a blueprint call itself?"
        )
        self.node_id = node_id
        self.most = most


class InputError(TerminalError):
    """What a node is given does not fit what it asks for."""


class ParameterError(InputError):
    """A parameter of a built-in node is missing, of the wrong type or out of range."""

    def __init__(self, node_id: str, parameter: str, problem: str) -> None:
        super().__init__(f"node {node_id!r}: params.{parameter} {problem}")
        self.node_id = node_id
        self.parameter = parameter
        self.problem = problem


class OutputError(TerminalError):
    """What a node gave cannot be stored."""


class ScheduleError(TerminalError):
    """A schedule that cannot be used. ``problems`` holds one sentence each, with its field first."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class ScheduleNotFoundError(TerminalError):
    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"schedule {schedule_id!r} does not exist: list the schedules with `famulus schedule ls`")
        self.schedule_id = schedule_id


class ScheduleConflictError(TerminalError):
    def __init__(self, schedule_id: str, differing: Sequence[str]) -> None:
        super().__init__(
            f"schedule {schedule_id!r} exists already, with another {', '.join(differing)}: give the new one another "
            "id, or say that it replaces the old one"
        )
        self.schedule_id = schedule_id
        self.differing = tuple(differing)


class SettingsError(TerminalError):
    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


class AccessDeniedError(TerminalError):
    """The HTTP API does not know who asks, or whoever asks may not do that."""


class TokenError(TerminalError):
    """A token cannot be made or revoked as it was asked for."""


class SecretError(TerminalError):
    """A secret that a step asks for is missing, or cannot be one. The value is never told."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"secret {name!r} {problem}")
        self.name = name
        self.problem = problem


class NonRetryableError(TerminalError):
    """Raise it in a node to fail the step at once, whatever attempts are left."""


class RetryAfter(RetryableError):  # noqa: N818  # authors read it as a sentence: raise RetryAfter(30)
    """Raise it in a node to have the step tried again, if it has attempts left, but not before the time is over.

    The time replaces the delay of the node's retry policy. Raises `ValueError` for a time below zero.
    """

    def __init__(self, delay: float | timedelta, message: str = "the node asks to be tried again later") -> None:
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"RetryAfter needs seconds from 0 on, got {delay!r}")
        super().__init__(message, retry_after=seconds)
        self.seconds = seconds

    def __reduce__(self) -> tuple[object, ...]:
        return (RetryAfter, (self.seconds, str(self)))


class HeartbeatTimeout(RetryableError):  # noqa: N818  # the name under which it is recorded, as `TimeoutError`
    """A node did not call `ctx.heartbeat()` for longer than the `heartbeatTimeout` of its step."""


class NodeProcessError(RetryableError):
    """The process that ran a CPU-bound node died before the node was done: killed, out of memory, crashed."""


class StoreUnavailableError(RetryableError):
    """The context store did not answer, or answered that it cannot now; the write may or may not have happened."""


class JoinsUnavailableError(RetryableError):
    """Redis did not answer. The rows know the same, so nothing is lost."""


class LimitsUnavailableError(RetryableError):
    """Redis did not answer. Until it does, each worker keeps the limits of implementations for itself."""


class BusUnavailableError(RetryableError):
    """The broker did not acknowledge a record; it may or may not be on the topic."""


class ApiUnavailableError(RetryableError):
    """The HTTP API of famulus did not answer; what was asked for may or may not have happened."""


class OwnershipLostError(RetryableError):
    """The partition of the run was given to another worker; that one goes on with the run."""
