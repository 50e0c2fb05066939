"""Whatever bytes come on a topic, reading them ends in a job or in a `BadRecordError`: nothing else, and at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.records import parse_item, parse_job
from famulus.errors import BadRecordError

LIMIT = 1_000_000
READERS: tuple[Callable[..., Any], ...] = (parse_job, parse_item)
DEPTHS = (10, 100, 200, 201, 1_000, 10_000, 150_000)
FIELDS = ("input", "run_id", "context", "payload", "output", "parent", "told", "step_id", "by", "value", "error")
TYPES = ("start", "fork", "step", "wake", "timer", "taken", "outcome", "claimed", "command", "item", "child_ended")
COMMANDS = ("signal", "resume", "cancel", "pause", "unpause", "retry", "rerun", "limit", "child_ended")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from((*FIELDS, "type", "command", "run_id", "blueprint_id", "version", "name", "attempt", "kind"))
documents = st.dictionaries(names, json_values | st.sampled_from((*TYPES, *COMMANDS, "r1")), max_size=8)


def read(reader: Callable[..., Any], value: bytes) -> None:
    began = time.thread_time()
    with suppress(BadRecordError):
        reader(value, max_bytes=LIMIT)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("closed", ["whole", "cut off"])
def test_a_record_that_nests_deep_is_no_more_than_bad(
    reader: Callable[..., Any], depth: int, brackets: tuple[bytes, bytes], closed: str
) -> None:
    opening, closing = brackets
    deep = opening * depth + b"1" + closing * (depth if closed == "whole" else 0)

    read(reader, deep)
    for kind in TYPES:
        for command in COMMANDS if kind == "command" else ("",):
            fields = b",".join(b'"%s":%s' % (name.encode(), deep) for name in ("input", "context", "payload"))
            head = msgspec.json.encode({"type": kind, "command": command, "run_id": "r1", "blueprint_id": "b"})
            read(reader, head[:-1] + b"," + fields + b"}")


@given(value=st.binary(max_size=200))
def test_any_bytes_are_read(value: bytes) -> None:
    for reader in READERS:
        read(reader, value)


@given(document=documents)
def test_any_object_is_read(document: dict[str, Any]) -> None:
    for reader in READERS:
        read(reader, msgspec.json.encode(document))
