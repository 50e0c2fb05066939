"""Dead letters are redriven and dropped, and nothing happens twice by it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.world import World, blueprint, eventually, statuses

from famulus.adapters.memory import MemoryDeadLetterStore
from famulus.engine.dead_letters.desk import LetterDesk, LetterFilter, LetterKeeper
from famulus.engine.dead_letters.letters import read_letter
from famulus.errors import DeadLetterNotFoundError, InputError, LetterRefusedError, OutputError
from famulus.ids import RunId
from famulus.ports import DeadLetter, LetterMark, Record


class Installation(World):
    """With a desk for its letters, and a clock of the desk that can be set."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[str] = []
        super().__init__({"note": lambda: self.calls.append("called")}, **options)
        self.time = 1000.0
        self.desk = LetterDesk(self.letters, self.bus, lambda: self.time)

    async def kept(self, *, letters: int = 1) -> list[str]:
        """Keep what has come on the topic, once there are so many; the ids in that order."""
        await eventually(lambda: len(self.bus.letters) >= letters)
        for record in self.bus.letters:
            await LetterKeeper(self.letters).keep(record)
        return [read_letter(record).summary.letter_id for record in self.bus.letters]

    async def events(self, run_id: str) -> list[str]:
        return [event.type for event in await self.reader.events(RunId(run_id))]


async def test_a_start_of_an_unknown_blueprint_completes_after_it_was_pushed_and_redriven() -> None:
    async with Installation() as world:
        await world.start("late", "r", {"n": 1})
        (letter_id,) = await world.kept()
        await world.push(blueprint("late", {"a": "note", "b": "note"}, ("a", "b")))

        stored = await world.desk.redrive(letter_id, by="ada")
        view = await world.ended("r")

    assert (stored.mark.state, stored.mark.by) == ("redriven", "ada")
    assert statuses(view) == {"a": "completed", "b": "completed"}
    assert view.input == {"n": 1}


async def test_a_start_that_is_redriven_twice_starts_one_run() -> None:
    async with Installation() as world:
        await world.start("late", "r")
        (letter_id,) = await world.kept()
        await world.push(blueprint("late", {"a": "note"}))

        await world.desk.redrive(letter_id, by="ada")
        await world.ended("r")
        await world.desk.redrive(letter_id, by="ada", again=True)
        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 1)

    assert world.calls == ["called"]


async def test_a_command_that_is_redriven_twice_is_carried_out_once() -> None:
    """A crash between sending and marking leaves the letter open, and somebody sends it once more."""
    async with Installation() as world:
        await world.push(blueprint("b", {"ask": "wait"}))
        await world.send({"type": "command", "command": "signal", "run_id": "r", "name": "early", "payload": 1})
        (letter_id,) = await world.kept()
        await world.start("b", "r")

        async def has_begun() -> bool:
            return bool(await world.store.heads([RunId("r")]))

        await eventually(has_begun)
        for again in (False, True):
            await world.desk.redrive(letter_id, by="ada", again=again)
        await eventually(lambda: world.engines[0].counts["records"] >= 4 and not world.handling)

        assert (await world.events("r")).count("signal.received") == 1


async def test_what_was_redriven_or_dropped_is_refused_unless_it_is_meant() -> None:
    async with Installation() as world:
        await world.start("late", "r")
        (letter_id,) = await world.kept()
        await world.desk.drop(letter_id, by="ada", reason="not wanted")

        with pytest.raises(LetterRefusedError, match="dropped by ada"):
            await world.desk.redrive(letter_id, by="bob")
        await world.desk.redrive(letter_id, by="bob", again=True)

        assert (await world.desk.show(letter_id)).mark.state == "redriven"


async def test_a_record_that_fails_again_is_a_new_letter() -> None:
    async with Installation() as world:
        await world.start("late", "r")
        (first,) = await world.kept()

        await world.desk.redrive(first, by="ada")
        _, second = await world.kept(letters=2)

        assert second != first
        assert (await world.desk.show(second)).letter.summary.redriven_from == first


async def test_of_two_who_act_the_one_that_comes_later_is_seen_whatever_its_clock_says() -> None:
    async with Installation() as world:
        await world.start("late", "r")
        (letter_id,) = await world.kept()
        await world.desk.drop(letter_id, by="ada")

        world.time = 1.0
        await world.desk.redrive(letter_id, by="bob", again=True)

        assert (await world.desk.show(letter_id)).mark.by == "bob"


async def test_a_letter_that_is_not_whole_is_not_sent() -> None:
    async with Installation() as world:
        await world.start("late", "r")
        (letter_id,) = await world.kept()
        letter = (await world.desk.show(letter_id)).letter
        cut = replace(letter, summary=replace(letter.summary, letter_id="c" * 24, is_cut=True))
        await world.letters.put(cut)

        with pytest.raises(LetterRefusedError, match="not whole"):
            await world.desk.redrive("c" * 24, by="ada")


async def test_nothing_is_sent_to_a_topic_that_a_forged_letter_names() -> None:
    async with Installation() as world:
        headers = (("famulus-source", b"payments/0/0"),)
        forged = Record(topic="dead", partition=0, offset=0, key=b"k", value=b"{}", headers=headers, timestamp=5.0)
        await LetterKeeper(world.letters).keep(forged)

        with pytest.raises(InputError, match="payments"):
            await world.desk.redrive(read_letter(forged).summary.letter_id, by="ada")

        assert (await world.desk.find(LetterFilter()))[0].mark.state == "open"


async def test_an_unknown_letter_is_said_to_be_so() -> None:
    async with Installation() as world:
        with pytest.raises(DeadLetterNotFoundError, match="nowhere"):
            await world.desk.redrive("nowhere", by="ada")


async def test_letters_older_than_since_end_the_search_and_until_begins_it() -> None:
    class Counting(MemoryDeadLetterStore):
        pages = 0

        async def newest(self, **asked: Any) -> Any:
            self.pages += 1
            return await super().newest(**asked)

    store = Counting()
    for number in range(1000):
        record = Record(topic="d", partition=0, offset=number, key=None, value=b"x", timestamp=1.0 + number)
        await LetterKeeper(store).keep(record)
    desk = LetterDesk(store, None, lambda: 0.0)

    newest = await desk.find(LetterFilter(since=990.0), limit=1000)
    middle = await desk.find(LetterFilter(since=500.0, until=510.0), limit=1000)

    assert [listed.summary.at for listed in newest] == [float(at) for at in range(1000, 989, -1)]
    assert [listed.summary.at for listed in middle] == [float(at) for at in range(509, 499, -1)]
    assert store.pages == 2


async def test_a_letter_that_cannot_be_stored_whole_is_kept_without_its_bytes() -> None:
    class Narrow(MemoryDeadLetterStore):
        async def put(self, letter: DeadLetter) -> None:
            if letter.value:
                raise OutputError("too large")
            await super().put(letter)

    store = Narrow()
    record = Record(topic="d", partition=0, offset=0, key=None, value=b"x" * 100, timestamp=1.0)

    await LetterKeeper(store).keep(record)

    (listed,) = await store.newest(limit=5)
    assert (listed.summary.is_cut, listed.summary.value_bytes) == (True, 100)


async def test_a_letter_is_marked_only_after_the_broker_has_the_record() -> None:
    class Away:
        async def send_again(
            self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
        ) -> Awaitable[None]:
            async def never() -> None:
                raise ConnectionError("no broker")

            return never()

    store = MemoryDeadLetterStore()
    await LetterKeeper(store).keep(Record(topic="d", partition=0, offset=0, key=b"k", value=b"x", timestamp=1.0))
    (listed,) = await store.newest(limit=1)
    desk = LetterDesk(store, Away(), lambda: 5.0)  # type: ignore[arg-type]

    with pytest.raises(ConnectionError):
        await desk.redrive(listed.summary.letter_id, by="ada")

    (listed,) = await store.newest(limit=1)
    assert listed.mark == LetterMark(state="open")
