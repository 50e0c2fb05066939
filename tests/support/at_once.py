"""A call that may wait for nothing, however slow or busy the machine is."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def at_once(call: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Return or raise what the call does, which must be before it waits for anything."""
    try:
        call.send(None)
    except StopIteration as ended:
        return ended.value
    finally:
        call.close()
    raise AssertionError(f"{call} waits")
