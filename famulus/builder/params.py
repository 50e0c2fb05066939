"""The params of built-in nodes, as in the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from famulus.builder.words import given, milliseconds

Duration: TypeAlias = float | timedelta | str
"""Seconds, or a text of the JSON such as ``"10s"``, ``"5m"``, ``"2h"``, ``"1d"``."""
Moment: TypeAlias = float | datetime | str
"""Seconds since 1970, a datetime with a time zone, or an ISO text."""


def sleep_params(duration: Duration | None, until: Moment | None) -> dict[str, Any]:
    at = until.isoformat() if isinstance(until, datetime) else until
    return given(duration=_duration(duration), until=at)


def wait_params(
    *,
    signal: str | None = None,
    deadline: Duration | None,
    on_deadline: str | None,
    form: Mapping[str, Any] | None,
    signed_by: str | None = None,
    token_expires: Duration | None = None,
) -> dict[str, Any]:
    return given(
        signal=signal,
        timeout=_duration(deadline),
        timeoutAction=on_deadline,
        form=form,
        signedBy=signed_by,
        tokenExpires=_duration(token_expires),
    )


def map_params(
    *,
    uses: str | None,
    blueprint: str | None,
    version: str | None,
    params: Mapping[str, Any] | None,
    max_concurrency: int | None,
    tolerated_failures: int | str | None,
    spread: bool,
) -> dict[str, Any]:
    return given(
        uses=uses,
        blueprintId=blueprint,
        version=version,
        params=params,
        maxConcurrency=max_concurrency,
        toleratedFailures=tolerated_failures,
        spread=spread or None,
    )


def _duration(duration: Any) -> Any:
    return duration if isinstance(duration, str) else milliseconds(duration)
