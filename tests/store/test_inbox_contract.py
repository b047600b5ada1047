"""The contract of a store's inbox: once by id, until acknowledged, and again if it is given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from sagakit.jetstream.stored import StreamReader
from sagakit.naming import SagaKey
from sagakit.store.ports import InboundMessage, Parking, Source

from tests.store.conftest import OpenStore

KEYS = ["Trip.a", "Trip.b", "Trip.=2E=2A=3E", "Trip.-_", "Other.a"]
SHORT_WAIT = 2.0
"""Seconds in place of ACK_WAIT, so that a test is soon done."""


async def test_the_inbox_delivers_once_by_id_until_acknowledged(open_store: OpenStore) -> None:
    odd = "a.b c>*"
    async with open_store() as store:
        for _ in range(2):
            await store.inbox.send("client", id="m1", saga_type="Trip", saga_id=odd, payload=b"1")
        await store.inbox.send("operator", id="m1", saga_type="Trip", saga_id="b", payload=b"2")
        await store.inbox.send("system", id="m3", saga_type="Trip", saga_id="", payload=b"3")
        await store.inbox.send("client", id="m4", saga_type="Other", saga_id="c", payload=b"4")
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(3)]
            for message in found:
                message.acknowledger.ack()
    seen = [(message.channel, message.id, message.saga_id, message.payload) for message in found]
    assert sorted(seen) == [
        ("client", "m1", odd, b"1"),
        ("operator", "m1", "b", b"2"),
        ("system", "m3", "", b"3"),
    ]


async def taken(messages: AsyncIterator[InboundMessage]) -> InboundMessage:
    """The next message."""
    with trio.fail_after(60):
        return await anext(messages)


async def test_a_message_that_is_given_back_comes_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.inbox.send("client", id="m1", saga_type="Trip", saga_id="a", payload=b"1")
        async with store.inbox.receive("Trip", "new") as messages:
            first = await taken(messages)
            first.acknowledger.defer(0)
            again = await taken(messages)
            assert (again.id, again.position) == (first.id, first.position)
            again.acknowledger.defer(0.5)
            assert (await taken(messages)).id == "m1"


async def test_a_message_that_nobody_acknowledges_comes_again_unless_it_is_extended(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has died holds up what it had for ACK_WAIT at the most."""
    for module in ("jetstream.inbox", "store.memory_inbox"):
        monkeypatch.setattr(f"sagakit.{module}.ACK_WAIT", SHORT_WAIT)
    async with open_store() as store:
        await store.inbox.send("client", id="m1", saga_type="Trip", saga_id="a", payload=b"1")
        asked = trio.current_time()
        async with store.inbox.receive("Trip", "new") as messages:
            first = await taken(messages)
            came_again = trio.Event()

            async def take() -> None:
                assert (await taken(messages)).id == "m1"
                came_again.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(take)
                in_time = True  # until this machine stalls for so long that the server may take us for dead
                for _ in range(6):
                    await trio.sleep(SHORT_WAIT / 4)
                    asked, before = trio.current_time(), asked
                    first.acknowledger.extend()
                    assert await store.state.get("Trip.a") is None, (
                        "an answer: the server has read what was sent before"
                    )
                    in_time = in_time and trio.current_time() - before < SHORT_WAIT * 0.75
                    assert not (in_time and came_again.is_set())


@pytest.mark.parametrize("start", [False, True])
async def test_what_is_parked_keeps_what_it_was(start: bool, open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.inbox.send("operator", id="m1", saga_type="Trip", saga_id="a b", payload=b"1")
        async with store.inbox.receive("Trip", "new") as messages:
            message = await taken(messages)
            assert not message.parked
            assert await store.inbox.park([Parking(message, start)]) == [None]
        found: list[InboundMessage] = []
        sources: list[Source] = ["parked starts", "parked"] if start else ["parked", "parked starts"]
        for source in sources:
            async with store.inbox.receive("Trip", source) as messages:
                with trio.move_on_after(60 if source.endswith("starts") == start else 1):
                    found.append(await anext(messages))
                    found[-1].acknowledger.ack()
        [parked] = found
        assert (parked.id, parked.channel, parked.saga_id, parked.payload) == ("m1", "operator", "a b", b"1")
        assert (parked.since, parked.subject) == (message.since, message.subject)
        assert parked.parked
        assert 0 <= store.inbox.age(parked) < 60


async def test_a_start_waits_wherever_it_is_in_the_inbox(open_store: OpenStore) -> None:
    async with open_store() as store:
        for saga_id, payload in (("a", b"[]"), ("a", b'{"kind":"cancel"}'), ("a", b'{"kind":"start"}'), ("b", b"{}")):
            await store.inbox.send("client", id=f"{payload!r}", saga_type="Trip", saga_id=saga_id, payload=payload)
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(4)]
            assert await store.inbox.start_waits(found[0].address)
            assert not await store.inbox.start_waits(found[3].address)
            await store.inbox.park([Parking(found[2], start=True)])
            assert await store.inbox.start_waits(found[0].address)


async def test_a_start_behind_many_messages_is_found_if_it_is_looked_for_anywhere(open_store: OpenStore) -> None:
    async with open_store() as store:
        key = SagaKey("Trip", "a")
        for number in range(20):
            await store.inbox.send(
                "client", id=f"m{number}", saga_type="Trip", saga_id="a", payload=b'{"kind":"cancel"}'
            )
        assert not await store.inbox.start_waits(key, anywhere=True)
        await store.inbox.send("client", id="start", saga_type="Trip", saga_id="a", payload=b'{"kind":"start"}')
        assert await store.inbox.start_waits(key, anywhere=True)


async def test_a_start_that_is_parked_during_the_look_is_found(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store() as store:
        await store.inbox.send("client", id="start", saga_type="Trip", saga_id="a", payload=b'{"kind":"start"}')
        async with store.inbox.receive("Trip", "new") as messages:
            message, look, parked = await taken(messages), StreamReader.next, list[object]()

            async def parking(self: StreamReader, subject: str, **more: Any) -> Any:
                found = await look(self, subject, **more)
                if not parked:
                    parked.extend(await store.inbox.park([Parking(message, start=True)]))
                return found

            monkeypatch.setattr(StreamReader, "next", parking)
            assert await store.inbox.start_waits(message.address, anywhere=True)


async def test_any_start_of_a_type_is_found_behind_other_messages_and_where_it_is_parked(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert not await store.inbox.any_start("Trip")
        for number in range(3):
            await store.inbox.send(
                "client", id=f"c{number}", saga_type="Trip", saga_id="a", payload=b'{"kind":"cancel"}'
            )
        await store.inbox.send("client", id="s", saga_type="Other", saga_id="a", payload=b'{"kind":"start"}')
        assert not await store.inbox.any_start("Trip")
        await store.inbox.send("system", id="s", saga_type="Trip", saga_id="b", payload=b'{"kind":"start"}')
        assert await store.inbox.any_start("Trip")
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(4)]
        for message in found[:3]:
            message.acknowledger.ack()
        await store.inbox.park([Parking(found[3], start=True)])
        assert await store.inbox.any_start("Trip")


async def test_the_inbox_takes_an_id_for_a_duplicate_only_for_the_same_saga(open_store: OpenStore) -> None:
    """The ids are the saga's; the window in which the server compares them is the stream's."""
    async with open_store() as store:
        for saga_id in ("a", "b", "a"):
            await store.inbox.send("client", id="evt-42", saga_type="Trip", saga_id=saga_id, payload=b"1")
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(2)]
            with trio.move_on_after(0.5):
                found.append(await anext(messages))
    assert [(message.saga_id, message.id) for message in found] == [("a", "evt-42"), ("b", "evt-42")]


async def test_no_other_message_swallows_a_workers_own(open_store: OpenStore) -> None:
    """A client that knows the id of the coming `reverse` sends a signal under it."""
    async with open_store() as store:
        for channel in ("client", "system"):
            await store.inbox.send(channel, id="r/undo/1", saga_type="Trip", saga_id="a", payload=b"1")
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(2)]
    assert [(message.channel, message.id) for message in found] == [("client", "r/undo/1"), ("system", "r/undo/1")]


async def test_one_release_for_many_children_reaches_each_of_them(open_store: OpenStore) -> None:
    """All releases of a parent have the same id: the inbox dropped all but the first one."""
    async with open_store() as store:
        for saga_id in ("a", "b"):
            await store.inbox.send("system", id="r.release", saga_type="Trip", saga_id=saga_id, payload=b"1")
        async with store.inbox.receive("Trip", "new") as messages:
            found = [await taken(messages) for _ in range(2)]
    assert [(message.saga_id, message.id) for message in found] == [("a", "r.release"), ("b", "r.release")]
