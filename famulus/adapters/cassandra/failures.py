"""Which errors of the driver mean "not now", and which mean a mistake."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cassandra import CoordinationFailure, OperationTimedOut, Timeout, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import (
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ServerError,
    TruncateError,
)

from famulus.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RETRY_AFTER_SECONDS: Final = 0.5
"""As long as the driver waits before it connects again."""

_NOT_NOW: Final = (
    OperationTimedOut,
    NoHostAvailable,
    Unavailable,
    Timeout,  # of a read or a write
    CoordinationFailure,  # a read or a write that failed on a replica
    ConnectionException,
    ConnectionBusy,
    NoConnectionsAvailable,
    OverloadedErrorMessage,
    IsBootstrappingErrorMessage,
    TruncateError,
    ServerError,
)
_CAS_WRITE_UNKNOWN: Final = 0x1700
"""A lightweight transaction that may still apply. The driver has no type for it."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise `StoreUnavailableError` instead of an error of the driver where waiting may help."""
    try:
        yield
    except Exception as error:
        if not is_unavailability(error):
            raise
        raise StoreUnavailableError(f"Cassandra: {describe(error)}", retry_after=RETRY_AFTER_SECONDS) from error


def is_unavailability(error: Exception) -> bool:
    if isinstance(error, ErrorMessage) and error.code == _CAS_WRITE_UNKNOWN:
        return True
    return isinstance(error, _NOT_NOW)


def is_back_pressure(error: BaseException | None) -> bool:
    """Say whether every host that was asked has a socket that is full for a moment.

    That no stream is free (`NoConnectionsAvailable`) is another thing: the driver has then blocked this thread for two
    seconds in which not one of thousands of requests was answered, and would do so again.
    """
    if isinstance(error, NoHostAvailable):
        answers = answers_of(error).values()
        return bool(answers) and all(isinstance(answer, ConnectionBusy) for answer in answers)
    return isinstance(error, ConnectionBusy)


def describe(error: Exception) -> str:
    """Say in one line what the driver says, with the answer of each host that it tried."""
    hosts = "; ".join(f"{host} {answer}" for host, answer in answers_of(error).items())
    return f"{type(error).__name__}: {hosts or error}"


def answers_of(error: Exception) -> Mapping[Any, Any]:
    """Return what each host answered; none where no host was asked (the driver then lists addresses, or nothing)."""
    answers = getattr(error, "errors", None)
    return answers if isinstance(answers, dict) else {}
