"""Answers of the HTTP API that are errors, as the errors they were where they were raised.

The API sends type, message and attributes of ours. What has no type comes from the HTTP layer, or from a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from famulus import errors
from famulus.errors import (
    AccessDeniedError,
    ApiUnavailableError,
    BadRecordError,
    FamulusError,
    InputError,
    TerminalError,
)

_TYPES: Final[Mapping[str, type[FamulusError]]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, FamulusError)
}
_MISFITS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_DENIED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
TEXT_SHOWN: Final = 200


def error_of(status: int, content: bytes, *, asked: str) -> FamulusError:
    """The error that an answer stands for."""
    told = _told(content)
    message = str(told.get("message") or f"{asked} was answered with {status}: {content[:TEXT_SHOWN]!r}")
    kind, attributes = _TYPES.get(str(told.get("type"))), told.get("attributes")
    if kind is not None:
        return _again(kind, message, attributes if isinstance(attributes, dict) else {})
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BadRecordError(message, code="too_large")
    if status in _DENIED:
        return AccessDeniedError(message)
    if status in _MISFITS:
        return InputError(message)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ApiUnavailableError(message)
    return TerminalError(message)


def _told(content: bytes) -> Mapping[str, Any]:
    try:
        told = msgspec.json.decode(content)["error"]
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}


def _again(kind: type[FamulusError], message: str, attributes: Mapping[str, Any]) -> FamulusError:
    # Past `__init__`, which would make the message anew from facts that only the other side had.
    error = kind.__new__(kind, message)
    vars(error).update({name: tuple(v) if isinstance(v, list) else v for name, v in attributes.items()})
    return error
