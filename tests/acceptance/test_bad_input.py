"""What should not be on the topic, followed by a good record on the same partition.

The good one completes. A record that cannot be handled lies on the dead-letter topic as it came, with why and
where from; one that starts a run which then cannot go on leaves a failed step with its reason.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import LARGE_RECORDS, PARTITIONS, Auditor, Installation, start_json

from famulus.adapters.memory.murmur2 import partition_for

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS = [("trace", b"\x00\xff"), ("origin", b"a test")]


@dataclass(frozen=True)
class Bad:
    """A record for the dead letters."""

    value: bytes | None
    code: str
    reason: str
    """Words of it."""


def start(**fields: Any) -> bytes:
    return json.dumps({"run_id": "bad", "blueprint_id": "one", **fields}).encode()


BAD = {
    "no JSON": Bad(b"{not json", "not_json", "not JSON"),
    "an empty value": Bad(b"", "not_json", "not JSON"),
    "no UTF-8": Bad(b'{"run_id": "\xff\xfe"}', "not_json", ""),
    "bytes of a picture": Bad(b"\x89PNG\r\n\x1a\n\x00\x00\x00", "not_json", "not JSON"),
    "null": Bad(None, "null_value", "null"),
    "a list": Bad(b"[1, 2]", "not_an_object", "expected a JSON object"),
    "a number": Bad(b"7", "not_an_object", "expected a JSON object"),
    "20,000 lists in each other": Bad(b"[" * 20_000 + b"]" * 20_000, "too_deep", "too deeply"),
    "20,000 objects in each other": Bad(
        b'{"run_id": "bad", "blueprint_id": "one", "input": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
        "too_deep",
        "too deeply",
    ),
    "2 MB": Bad(start(input={"text": "x" * 2_000_000}), "too_large", "FAMULUS_MAX_RECORD_BYTES"),
    "no run_id": Bad(b'{"blueprint_id": "one"}', "missing_field", "`run_id`"),
    "an empty run_id": Bad(start(run_id=""), "missing_field", "`run_id`"),
    "no blueprint_id": Bad(b'{"run_id": "bad"}', "missing_field", "`blueprint_id`"),
    "a number as run_id": Bad(start(run_id=17), "wrong_type", "`run_id` is 17"),
    "a list as blueprint_id": Bad(start(blueprint_id=["one"]), "wrong_type", "`blueprint_id`"),
    "a text as input": Bad(start(input="text"), "wrong_type", "`input`"),
    "a number as version": Bad(start(version=2), "wrong_type", "`version`"),
    "an id with a line break": Bad(start(run_id="a\nb"), "bad_run_id", "`run_id`"),
    "an id that is a path": Bad(start(run_id="../../etc/passwd"), "bad_run_id", "`run_id`"),
    "an id that is mark-up": Bad(start(run_id="<script>alert(1)</script>"), "bad_run_id", "`run_id`"),
    "an id with a zero byte": Bad(start(run_id="a\x00b"), "bad_run_id", "`run_id`"),
    "an id of 129 letters": Bad(start(run_id="x" * 129), "bad_run_id", "`run_id`"),
    "an id of half a surrogate pair": Bad(b'{"run_id": "\\ud800", "blueprint_id": "one"}', "", ""),
    "an unknown blueprint": Bad(start(blueprint_id="nobody-knows"), "unknown_blueprint", "nobody-knows"),
    "an unknown version": Bad(start(version="no-such-version"), "unknown_blueprint", "no-such-version"),
    "an odd blueprint_id": Bad(start(blueprint_id="'; DROP TABLE runs; --\n<b>"), "unknown_blueprint", "DROP TABLE"),
    "an unknown type": Bad(start(type="dance"), "unknown_record_type", "'dance'"),
    "an object as type": Bad(start(type={"a": 1}), "unknown_record_type", "`type`"),
    "an unknown command": Bad(
        b'{"type": "command", "command": "dance", "run_id": "bad"}', "unknown_command", "'dance'"
    ),
    "a step of no run": Bad(
        b'{"type": "step", "run_id": "bad", "step_id": "only", "attempt": 1}', "unknown_run", "'bad' does not exist"
    ),
    "a cancel of no run": Bad(
        b'{"type": "command", "command": "cancel", "run_id": "bad"}', "unknown_run", "'bad' does not exist"
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_record_becomes_a_dead_letter_and_the_next_one_is_handled(running: Installation, name: str) -> None:
    bad = BAD[name]
    key, good = _new_id("key"), _on_the_partition_of("bad")
    partition = partition_for(good.encode(), PARTITIONS)

    async with running.producer(max_request_size=LARGE_RECORDS) as producer:
        sent = await producer.send_and_wait(
            running.jobs, bad.value, key=key.encode(), partition=partition, headers=HEADERS
        )
        await producer.send_and_wait(running.jobs, start_json(good, "one"), key=good.encode(), partition=partition)

    async with running.records() as auditor:
        await auditor.ended([good])
    letter = await _letter(running, key)
    headers = dict(letter.headers)
    assert [letter.headers[0], letter.headers[1]] == HEADERS
    assert bad.code in headers["famulus-error-code"].decode()
    assert bad.reason in headers["famulus-error"].decode()
    assert headers["famulus-source"].decode().endswith(f"{running.jobs}/{partition}/{sent.offset}")
    if bad.value is None or len(bad.value) < 1_000_000:
        assert letter.value == bad.value
    else:
        assert bad.value.startswith(letter.value)
        assert int(headers["famulus-truncated"]) == len(bad.value)


async def test_a_missing_key_is_no_fault(running: Installation) -> None:
    async with running.producer() as producer:
        for number in range(4):
            await producer.send_and_wait(running.jobs, start_json(f"keyless-{number}", "one"))

    async with running.records() as auditor:
        await auditor.ended([f"keyless-{number}" for number in range(4)])


@pytest.mark.parametrize(
    "run_id", ["a", "x" * 128, "a:b.c_d-e", "...", "-rf", "__proto__", "null", "0", "%2e%2e", "CON"]
)
async def test_an_odd_id_is_either_used_as_it_is_or_refused(running: Installation, run_id: str) -> None:
    async with running.producer() as producer:
        await producer.send_and_wait(running.jobs, start_json(run_id, "one"), key=run_id.encode())

    if "%" in run_id:
        assert dict((await _letter(running, run_id)).headers)["famulus-error-code"] == b"bad_run_id"
        return
    async with running.records() as auditor:
        await auditor.ended([run_id])
        assert (await auditor.sees(run_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("blueprint_id", "error", "reason"),
    [
        ("unserialisable", "OutputError", "object"),
        ("raising", "ValueError", "as told"),
    ],
)
async def test_a_step_that_cannot_go_on_fails_with_its_reason(
    running: Installation, blueprint_id: str, error: str, reason: str
) -> None:
    bad = _new_id(blueprint_id)
    good = _on_the_partition_of(bad)

    async with running.producer() as producer:
        await producer.send_and_wait(running.jobs, start_json(bad, blueprint_id), key=bad.encode())
        await producer.send_and_wait(running.jobs, start_json(good, "one"), key=good.encode())

    async with running.records() as auditor:
        await auditor.ended([good, bad])
        shown = await auditor.sees(bad)
        step = _step(shown, "bad")
        assert (await auditor.sees(good))["status"] == "completed"
    assert shown["status"] == "failed"
    assert "bad" in shown["reason"]
    assert step["status"] == "failed"
    assert step["error"]["type"] == error
    assert reason in step["error"]["message"]
    assert ("step.failed", "bad") in [(event["type"], event.get("step")) for event in shown["events"]]


async def test_a_second_start_with_the_same_input_is_the_same_run(running: Installation) -> None:
    run_id = _new_id("twice")

    async with running.producer() as producer, running.records() as auditor:
        for _ in range(3):
            await producer.send_and_wait(running.jobs, start_json(run_id, "one", input={"a": 1}), key=run_id.encode())
        await auditor.ended([run_id])
        before = await auditor.sees(run_id)
        await producer.send_and_wait(running.jobs, start_json(run_id, "one", input={"a": 1}), key=run_id.encode())
        await _handled_so_far(running, auditor, producer, run_id)
        after = await auditor.sees(run_id)

    assert after == before
    assert [call.step_id for call in running.executions() if call.run_id == run_id] == ["only"]


async def test_a_second_start_with_another_input_is_recorded_as_refused(running: Installation) -> None:
    run_id = _new_id("conflict")

    async with running.producer() as producer, running.records() as auditor:
        await producer.send_and_wait(running.jobs, start_json(run_id, "one", input={"a": 1}), key=run_id.encode())
        await auditor.ended([run_id])
        await producer.send_and_wait(running.jobs, start_json(run_id, "one", input={"a": 2}), key=run_id.encode())
        await _handled_so_far(running, auditor, producer, run_id)
        shown = await auditor.sees(run_id)

    assert shown["status"] == "completed"
    assert shown["input"] == {"a": 1}
    assert [event["detail"] for event in shown["events"] if event["type"] == "run.start_refused"] == ["another input"]
    assert [call.step_id for call in running.executions() if call.run_id == run_id] == ["only"]


async def _handled_so_far(running: Installation, auditor: Auditor, producer: Any, run_id: str) -> None:
    """Wait for a run that is started after all that was sent before on the same partition."""
    last = _on_the_partition_of(run_id)
    await producer.send_and_wait(running.jobs, start_json(last, "one"), key=last.encode())
    await auditor.ended([last])


async def _letter(running: Installation, key: str) -> Any:
    return await running.dead_letter(key.encode())


def _new_id(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:10]}"


def _on_the_partition_of(run_id: str) -> str:
    wanted = partition_for(run_id.encode(), PARTITIONS)
    others = iter(lambda: _new_id("good"), "")
    return next(other for other in others if partition_for(other.encode(), PARTITIONS) == wanted)


def _step(shown: Mapping[str, Any], step_id: str) -> Any:
    return next(step for step in shown["steps"] if step["step_id"] == step_id)
