"""What is recorded of an error that a node raised."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from famulus.errors import InputError, NonRetryableError, OutputError, RetryAfter, SecretError
from famulus.flow.facts import ErrorInfo

NEVER_RETRIED: Final = (NonRetryableError, InputError, OutputError, SecretError)
_OWN_CODE: Final = str(Path(__file__).parent.parent)
_TOLD: Final = "__famulus_told__"
"""On an error that has come from another process, without its traceback: how it was told there."""


def describe(error: BaseException) -> ErrorInfo:
    """Type, bases, message and the frames of the user's own code: those of the engine tell its users nothing."""
    told = getattr(error, _TOLD, None)
    if isinstance(told, ErrorInfo):
        return told
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OWN_CODE)]
    text = "".join(traceback.format_list(frames))
    return ErrorInfo(
        type=type(error).__name__,
        message=_storable(_message(error)[:4000]),
        traceback=_storable(text[-8000:]),
        bases=tuple(base.__name__ for base in type(error).__mro__[1:] if base not in (BaseException, object)),
    )


def told_as(error: BaseException, info: ErrorInfo) -> BaseException:
    """The error, to be described so from now on."""
    try:
        setattr(error, _TOLD, info)
    except (AttributeError, TypeError):
        return error
    return error


def retry_after_ms(error: BaseException) -> int | None:
    return round(error.seconds * 1000) if isinstance(error, RetryAfter) else None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as untellable:  # noqa: BLE001  # the text of an error is the node's own code too
        return f"(its text cannot be had: {type(untellable).__name__})"


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
