"""Of which log an offset is: a topic may have been deleted since, and made anew under the same name.

Who reads on at 40 in the log that took the place of another passes over its first 40 records, and no error tells. So a
worker knows, with each partition that it reads, the id of the topic that its offsets are of. The rules of this file:

* The ids are asked for when partitions have been assigned, before the first offset of any of them is known.
* Each committed offset carries the id. One that was committed of another topic counts for nothing, and the partition is
  read from its beginning: by this worker, by any other, and after all of them were restarted.
* From time to time the ids are asked for again. When one is another, the worker joins its group anew, and what follows
  is an ordinary rebalance, under the rules above. Records that had been read come again, and change nothing.
* Of a broker that tells no ids, or does not answer now, nothing new is known, and nothing is done.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from famulus.adapters.faust.topic_ids import topic_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from faust.types import TP

log = logging.getLogger(__name__)

WORD: Final = "topic-id:"
"""What Kafka keeps beside a committed offset begins so."""
ANSWER_SECONDS: Final = 3.0


class LogsRead:
    """Of the clients of one consumer, one after the other. Used on the loop of its thread alone."""

    def __init__(self, *, is_committed: Callable[[str], bool], begins_anew: Callable[[TP], None]) -> None:
        """`is_committed`: whether offsets of this topic are. `begins_anew` is told of each log that is another one."""
        self._is_committed = is_committed
        self._begins_anew = begins_anew
        self._settling = asyncio.Lock()
        self._assignment: Any = None
        self._ids: dict[TP, UUID] = {}
        """Of each partition of this assignment: the topic that its offsets are of."""
        self._renewed: set[str] = set()
        """Topics that were others before this assignment."""
        self._told: set[str] = set()
        """Topics of which it was logged in this assignment that something is committed of a former one."""
        self._gone: set[UUID] = set()
        """A broker that lags behind may still tell them."""
        self._left: Any = None
        """The assignment that was given up, for a topic was another one."""
        self._followed: Any = None

    def follow(self, client: Any) -> None:
        """Look at the committed offsets that a client finds which has not joined its group yet."""
        coordinator = client._coordinator  # noqa: SLF001 - aiokafka has no hook
        if coordinator is self._followed:
            return
        self._followed = coordinator
        fetch = coordinator._do_fetch_commit_offsets  # noqa: SLF001

        async def fetch_of_these_logs(partitions: Collection[TP]) -> dict[TP, Any]:
            await self._settle(client)
            committed = await fetch(partitions)
            return {tp: offset for tp, offset in committed.items() if self._counts(tp, offset)}

        coordinator._do_fetch_commit_offsets = fetch_of_these_logs  # noqa: SLF001

    def named(self, offsets: Mapping[TP, Any]) -> dict[TP, Any]:
        """The same offsets, to be committed with the ids of the topics that they are of."""
        return {
            tp: OffsetAndMetadata(offset.offset, f"{WORD}{self._ids[tp]}") if tp in self._ids else offset
            for tp, offset in offsets.items()
        }

    async def look(self, client: Any) -> None:
        """Ask for the ids again, and have the partitions shared out anew if one is another."""
        assignment = self._assignment
        if assignment is None or assignment is self._left or not assignment.active:
            return
        present = await self._ask(client, assignment)
        if assignment is not self._assignment or not assignment.active:
            return
        renewed = set()
        for tp, topic_id in present.items():
            known = self._ids.setdefault(tp, topic_id)
            if known != topic_id:
                renewed.add(tp.topic)
        if renewed:
            names = ", ".join(sorted(renewed))
            log.warning("made anew by somebody, and read anew: %s", names, extra={"action": "topic_made_anew"})
            self._left = assignment
            client._coordinator.request_rejoin()  # noqa: SLF001

    async def _settle(self, client: Any) -> None:
        """Know the ids of the present assignment. They are asked for before what was committed, so none is too new."""
        async with self._settling:
            subscription = client._subscription.subscription  # noqa: SLF001
            assignment = None if subscription is None else subscription.assignment
            if assignment is None or assignment is self._assignment:
                return
            present = await self._ask(client, assignment)
            before = self._ids
            self._ids = {tp: topic_id for tp, topic_id in before.items() if tp in assignment.tps} | present
            self._assignment, self._renewed, self._told = assignment, set(), set()
            for tp, topic_id in before.items():
                if present.get(tp, topic_id) != topic_id:
                    self._gone.add(topic_id)
                    self._renewed.add(tp.topic)
                    self._begins_anew(tp)

    async def _ask(self, client: Any, assignment: Any) -> dict[TP, UUID]:
        asked = [tp for tp in assignment.tps if self._is_committed(tp.topic)]
        network = client._client  # noqa: SLF001
        # One of those that records are fetched from: there is a connection, and it knows what it leads.
        leaders = {network.cluster.leader_for_partition(tp) for tp in asked} - {None, -1}
        told: Mapping[str, UUID] = {}
        if leaders:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    told = await topic_ids(network, {tp.topic for tp in asked}, node=random.choice(list(leaders)))  # noqa: S311
        return {tp: told[tp.topic] for tp in asked if tp.topic in told and told[tp.topic] not in self._gone}

    def _counts(self, tp: TP, committed: Any) -> bool:
        """Whether a committed offset is of the log that is read."""
        topic_id = _id_in(committed.metadata)
        if topic_id is None:
            # Committed by something else, or the broker keeps no words.
            return tp.topic not in self._renewed
        if self._ids.setdefault(tp, topic_id) == topic_id:
            return True
        if tp.topic not in self._told:
            self._told.add(tp.topic)
            told = "what is committed of %s is of a topic of that name that is gone"
            log.warning(told, tp.topic, extra={"action": "offset_of_gone_topic"})
        return False


def _id_in(word: str | None) -> UUID | None:
    if word is None or not word.startswith(WORD):
        return None
    try:
        return UUID(word.removeprefix(WORD))
    except ValueError:
        return None
