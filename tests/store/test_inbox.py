"""The inbox of a real server: what others may put there, outages, and a consumer that several workers share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from msgspec import structs
from sagakit.errors import TooLarge
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names
from sagakit.store.ports import DUPLICATES, Burial, InboundMessage, Parking
from sagakit.system.inbound.intake import UNKNOWN_FOR

from tests.servers import Server


@asynccontextmanager
async def opened(server: Server, namespace: str) -> AsyncIterator[JetStreamStore]:
    async with open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store:
        yield store


async def taken(messages: AsyncIterator[InboundMessage], number: int) -> list[InboundMessage]:
    """The next messages, acknowledged."""
    found: list[InboundMessage] = []
    with trio.fail_after(60):
        async for message in messages:
            message.acknowledger.ack()
            found.append(message)
            if len(found) == number:
                break
    return found


async def publish(store: JetStreamStore, subject: str, payload: bytes = b"{}", **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    await store._link.request(store.names.subject(subject), payload, headers=header_block(named))


def test_a_duplicate_is_dropped_only_while_the_first_copy_still_waits() -> None:
    assert DUPLICATES < UNKNOWN_FOR


@pytest.mark.parametrize("status", ["100", "404", "408", "409", "503"])
async def test_a_status_that_others_set_is_a_header_like_any_other(status: str, server: Server, namespace: str) -> None:
    """A thousand of them were never acknowledged, and then the type got no message any more."""
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        for number in range(200):
            await publish(store, f"sagain.Trip.s{number}", b"", Status=status, Description="Consumer Deleted")
        await publish(store, "sagain.Trip.last", b"{}")
        found = await taken(messages, 201)
    assert [message.saga_id for message in found][-1] == "last"


async def test_a_message_without_an_id_has_its_position_for_one(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, "sagain.Trip.a")
        [message] = await taken(messages, 1)
    assert message.id == f"seq-{message.position}"


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ("sagain.Trip.a=2e", "not an encoded saga id"),
        ("sagain.Trip." + "a" * 600, "600 characters"),
        ("sagain.Trip." + "=E8=88=B9" * 58, "522 characters"),
        ("sagaop.Trip.a=zz", "not an encoded saga id"),
    ],
)
async def test_a_subject_that_is_no_address_says_why(subject: str, says: str, server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, subject)
        [message] = await taken(messages, 1)
    assert says in message.fault


async def test_strays_are_what_no_consumer_covers(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store:
        async with store.inbox.receive("Trip", "new") as messages:
            await publish(store, "sagain.Trip.a")
            await taken(messages, 1)
            assert [one async for one in store.inbox.strays()] == []
        for subject in ("sagain.Trip.a.b", "sagain.Trip", "sagain.9.a", "sagain.Nobody.x", "sagareply.Trip.a"):
            await publish(store, subject, b"{}", Nats_Msg_Id=subject)
        strays = {
            message.subject.removeprefix(f"{namespace}."): message
            for message in [one async for one in store.inbox.strays()]
        }
        assert set(strays) == {"sagain.Trip.a.b", "sagain.Trip", "sagain.9.a", "sagain.Nobody.x", "sagareply.Trip.a"}
        assert strays.pop("sagain.Nobody.x").fault == ""
        assert all("is not the address of a saga" in message.fault for message in strays.values())
        for message in [one async for one in store.inbox.strays()]:
            await store.inbox.bury([Burial(message, "in a test", "InvalidInput")], by="w1")
        with trio.fail_after(60):
            while [one async for one in store.inbox.strays()]:  # noqa: ASYNC110  # the server says nothing of a removal
                await trio.sleep(0.02)
        info = await store._link.request(f"$JS.API.STREAM.INFO.{store.names.dead}", b"")
        assert b'"messages":5,' in info


async def test_a_dead_letter_has_the_message_and_why(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, "sagain.Trip.a", b'{"kind": "dance"}', Nats_Msg_Id="m1", Color="red")
        message = await anext(messages)
        reasons = ("nobody\r\ndances here \u2603", "said twice")
        burials = [Burial(message, reason, "AlreadyStarted") for reason in reasons]
        assert await store.inbox.bury(burials, by="w1") == [None, None]
        found = await store.inbox._dead.next(store.names.dead_subject("inbox", "Trip"))
        assert found is not None
        assert await store.inbox._dead.count() == 1
    assert found.payload == b'{"kind": "dance"}'
    headers = found.headers.decode()
    assert f"Sagakit-Subject: {namespace}.sagain.Trip.a\r\n" in headers
    assert "Sagakit-Reason: nobody  dances here \\u2603\r\n" in headers
    assert "Sagakit-Code: AlreadyStarted\r\n" in headers
    assert "Sagakit-Id: m1\r\n" in headers
    assert "Sagakit-By: w1\r\n" in headers
    assert '"Color":"red"' in headers


async def test_a_message_and_its_parked_copy_are_one_dead_letter(server: Server, namespace: str) -> None:
    """On a busy worker a message comes again before it is acknowledged, and its copy waits already."""
    async with opened(server, namespace) as store:
        await publish(store, "sagain.Trip.z", b"{}", Nats_Msg_Id="m0")  # so that positions differ
        await publish(store, "sagain.Trip.a", b"{}", Nats_Msg_Id="m1")
        async with store.inbox.receive("Trip", "new") as messages:
            await anext(messages)
            original = await anext(messages)
        await store.inbox.park([Parking(original, start=True)])
        async with store.inbox.receive("Trip", "parked starts") as messages:
            copy = await anext(messages)
        burials = [Burial(message, "it cannot be read", "InvalidInput") for message in (original, copy)]
        assert await store.inbox.bury(burials, by="w1") == [None, None]
        assert (copy.id, await store.inbox._dead.count()) == ("m1", 1)


async def test_of_a_group_only_what_has_a_stored_copy_is_acknowledged(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store:
        async with store.inbox.receive("Trip", "new") as messages:
            for saga_id in "abc":
                await publish(store, f"sagain.Trip.{saga_id}")
            with trio.fail_after(60):
                found = [await anext(messages) for _ in range(3)]
            found[1] = structs.replace(found[1], payload=bytes(store.max_payload + 1))
            errors = await store.inbox.park([Parking(message, start=False) for message in found])
        assert [type(error) for error in errors] == [type(None), TooLarge, type(None)]
        subjects = (
            store.names.subject("sagain.Trip.b"),
            *map(store.names.subject, ("sagapark.Trip.a", "sagapark.Trip.c")),
        )
        left: set[str] = set()
        with trio.move_on_after(60):
            while left != set(subjects):
                left = {subject async for subject, _ in store.inbox._stream.subjects()}
        assert left == set(subjects)
        assert await store.inbox.park([]) == []


async def test_a_dead_letter_has_the_whole_id_of_its_message(server: Server, namespace: str) -> None:
    long = "\u2603" * 1_024
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, f"sagain.Trip.{'a' * 512}", b"{}", Nats_Msg_Id=long)
        await store.inbox.bury([Burial(await anext(messages), "why", "InvalidInput")], by="w1")
        found = await store.inbox._dead.next(store.names.dead_subject("inbox", "Trip"))
    assert found is not None
    headers = found.headers.decode()
    assert f"Sagakit-Id: {long}\r\n" in headers
    assert f"Sagakit-Subject: {namespace}.sagain.Trip.{'a' * 512}\r\n" in headers


async def test_reading_goes_on_when_its_consumer_was_deleted(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, "sagain.Trip.a")
        await taken(messages, 1)
        with trio.fail_after(60):
            while await store.inbox._stream.count():  # noqa: ASYNC110  # else it comes again from the new consumer
                await trio.sleep(0.02)
        await store._link.request(f"$JS.API.CONSUMER.DELETE.{store.names.inbox}.Trip", b"")
        await publish(store, "sagain.Trip.b")
        [message] = await taken(messages, 1)
    assert message.saga_id == "b"


async def test_the_server_takes_back_what_a_dead_worker_held_in_five_seconds(server: Server, namespace: str) -> None:
    """A saga whose worker died at the wrong moment started 26 seconds late, when the server took that long."""
    async with opened(server, namespace) as store, store.inbox.receive("Trip", "new") as messages:
        await publish(store, "sagain.Trip.a")
        await taken(messages, 1)  # now the consumer is there
        answer = await store._link.request(f"$JS.API.CONSUMER.INFO.{store.names.inbox}.Trip", b"")
    assert 0 < msgspec.json.decode(answer)["config"]["ack_wait"] <= 5_000_000_000


async def test_two_workers_share_the_messages_of_a_type(server: Server, namespace: str) -> None:
    found: list[str] = []

    async def take(messages: AsyncIterator[InboundMessage], scope: trio.CancelScope) -> None:
        async for message in messages:
            message.acknowledger.ack()
            found.append(message.saga_id)
            if len(found) == 20:
                scope.cancel()

    async with (
        opened(server, namespace) as one,
        opened(server, namespace) as other,
        one.inbox.receive("Trip", "new") as mine,
        other.inbox.receive("Trip", "new") as theirs,
    ):
        for number in range(20):
            await publish(one, f"sagain.Trip.s{number}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, mine, nursery.cancel_scope)
            nursery.start_soon(take, theirs, nursery.cancel_scope)
            nursery.cancel_scope.deadline = trio.current_time() + 30
    assert sorted(found) == sorted(f"s{number}" for number in range(20))
