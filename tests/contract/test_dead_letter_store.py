"""What every store of dead letters promises; see `famulus.ports.DeadLetterStore`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from famulus.ports import OPEN, DeadLetter, LetterMark, LetterPlace, LetterSummary

if TYPE_CHECKING:
    from conftest import Backend

NOW = round(time.time(), 3)
SUMMARY = LetterSummary(
    letter_id="a" * 24,
    at=NOW,
    code="not_json",
    reason="no \u202e JSON \x1b[2J ü",
    topic="jobs",
    partition=3,
    offset=17,
    run_id="r-1",
    value_bytes=4,
)
LETTER = DeadLetter(
    summary=SUMMARY,
    key=b"\xff\x00key",
    value=bytes(range(256)),
    headers=(("trace", b"\x00\xff"), ("empty", None), ("trace", b"")),
)
HOUR = 3600.0


def letter(name: str, *, at: float = NOW) -> DeadLetter:
    return replace(LETTER, summary=replace(SUMMARY, letter_id=name * 24, at=at))


async def test_a_letter_comes_back_with_every_byte_in_its_own_namespace(backend: Backend, namespace: str) -> None:
    here, there = await backend.letter_store(namespace), await backend.letter_store(f"{namespace}_2")

    await here.put(LETTER)

    stored = await (await backend.letter_store(namespace)).get(SUMMARY.letter_id)
    assert stored is not None
    assert (stored.letter, stored.mark) == (LETTER, OPEN)
    assert await there.get(SUMMARY.letter_id) is None
    assert list(await there.newest(limit=5)) == []


@pytest.mark.parametrize(("key", "value"), [(None, None), (None, b""), (b"", None)])
async def test_what_is_null_and_what_is_empty_are_not_the_same(
    backend: Backend, namespace: str, key: bytes | None, value: bytes | None
) -> None:
    store = await backend.letter_store(namespace)

    await store.put(replace(LETTER, key=key, value=value, headers=()))

    stored = await store.get(SUMMARY.letter_id)
    assert stored is not None
    assert (stored.letter.key, stored.letter.value, stored.letter.headers) == (key, value, ())


async def test_the_same_letter_again_changes_neither_it_nor_its_mark(backend: Backend, namespace: str) -> None:
    store = await backend.letter_store(namespace)
    mark = LetterMark(state="dropped", by="ada", at=NOW + 1, note="junk")

    await store.put(LETTER)
    await store.mark(SUMMARY.letter_id, mark)
    await store.put(LETTER)

    stored = await store.get(SUMMARY.letter_id)
    assert stored is not None
    assert (stored.letter, stored.mark) == (LETTER, mark)
    assert [each.mark for each in await store.newest(limit=5)] == [mark]


async def test_of_two_marks_the_later_one_stays_whatever_comes_first(backend: Backend, namespace: str) -> None:
    store = await backend.letter_store(namespace)
    later = LetterMark(state="redriven", by="bob", at=NOW + 2)
    await store.put(LETTER)

    await store.mark(SUMMARY.letter_id, later)
    await store.mark(SUMMARY.letter_id, LetterMark(state="dropped", by="ada", at=NOW + 1, note="junk"))

    stored = await store.get(SUMMARY.letter_id)
    assert stored is not None
    assert stored.mark == later


async def test_letters_are_listed_newest_first_and_page_by_place(backend: Backend, namespace: str) -> None:
    store = await backend.letter_store(namespace)
    old, same_moment_1, same_moment_2, new = (
        letter("1", at=NOW - 5 * HOUR),
        letter("2", at=NOW),
        letter("3", at=NOW),
        letter("4", at=NOW + HOUR),
    )
    for each in (same_moment_1, new, old, same_moment_2):
        await store.put(each)

    pages, before = [], None
    while page := await store.newest(limit=1, before=before):
        pages += [each.summary.letter_id[0] for each in page]
        before = page[-1].summary.place

    assert pages == ["4", "3", "2", "1"]
    assert [each.summary.letter_id[0] for each in await store.newest(limit=3)] == ["4", "3", "2"]
    until_now = await store.newest(limit=9, before=LetterPlace(NOW, ""))
    assert [each.summary.letter_id[0] for each in until_now] == ["1"]
