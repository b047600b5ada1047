"""The intake under floods, and the rights of senders (docs/architecture.md, "The inbox"), in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Context, Failed, Saga, signal, step
from sagakit.engine.inputs import InboundKind
from sagakit.errors import InvalidInput, StoreError
from sagakit.messages.channels import ALLOWED, channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.ration import LINES
from sagakit.store.memory_inbox import MemoryInbox
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Channel
from sagakit.store.ports import Burial, Parking, Write
from sagakit.system.inbound import intake
from sagakit.system.inbound.requests import NOT_MINE, PassedOn

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, killable, member, stands, until_ended
from tests.system.stopped_trips import Stop

Clock = trio.testing.MockClock
START = {"kind": "start", "input": {}}


class Waits(Saga[None, int]):
    """A saga that waits for a signal."""

    go = signal(int)

    @step(go, compensate=None)
    async def end(self, input: None, go: int, ctx: Context) -> int:
        return go

    def output(self, input: None, ctx: Context) -> int:
        return ctx.result(Waits.end)


async def send(
    running: Member,
    saga_id: str,
    body: dict[str, Any],
    *,
    saga_type: str = "BookTrip",
    id: str = "",
    channel: Channel | None = None,
) -> None:
    payload = msgspec.json.encode(body)
    sent_over = channel or channel_of(msgspec.json.decode(payload, type=InboxRequest))
    await running.store.inbox.send(
        sent_over, id=id or f"{body['kind']}-{saga_id}", saga_type=saga_type, saga_id=saga_id, payload=payload
    )


async def until_empty(server: MemoryServer, *, within: float) -> None:
    with trio.fail_after(within):
        while server.inbox:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


async def test_an_operators_verb_is_applied_at_once_while_hundreds_of_starts_wait_for_room(
    autojump_clock: Clock,
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), max_active=2) as running:
        for number in range(600):
            await send(running, f"s{number}", START)
        await stop.reached.wait()
        [first, *_] = await running.runtime.list_active()
        began = trio.current_time()
        await send(running, first.partition(".")[2], {"kind": "terminate", "reason": "fraud"})
        with trio.fail_after(1):
            record = await running.runtime.ended(first)
        assert record.failure is not None
        assert record.failure.cause == "terminated"
        assert trio.current_time() - began < 1
        stop.go_on.set()
        await until_empty(server, within=600)
        for number in range(600):
            await until_ended(server, f"BookTrip.s{number}")
    assert server.dead == []


async def test_messages_to_unknown_sagas_hold_up_no_others(autojump_clock: Clock) -> None:
    """Such a message once took one of 256 places for 25 seconds, whatever its type."""
    server = MemoryServer()
    async with member(server, BookTrip(), Waits()) as running:
        for number in range(600):
            await send(running, f"nobody-{number}", {"kind": "cancel"})
        for number in range(300):
            await send(running, "always-the-same", {"kind": "cancel"}, id=f"m{number}")
        await send(running, "one", START)
        await send(running, "two", {"kind": "start"}, saga_type="Waits")
        await send(running, "two", {"kind": "signal", "step": "go", "payload": 7}, saga_type="Waits")
        with trio.fail_after(2):
            await until_ended(server, "BookTrip.one")
            await until_ended(server, "Waits.two")
        await until_empty(server, within=60)
    assert len(server.dead) == 900
    assert all("it was never started" in letter.reason for letter in server.dead)


async def test_a_signal_that_comes_long_before_its_saga_waits_for_it(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Waits()) as running:
        await send(running, "one", {"kind": "signal", "step": "go", "payload": 7}, saga_type="Waits", id="evt-1")
        await trio.sleep(28)
        await send(running, "one", {"kind": "signal", "step": "go", "payload": 7}, saga_type="Waits", id="evt-1")
        await trio.sleep(5)
        await send(running, "one", {"kind": "start"}, saga_type="Waits")
        await until_ended(server, "Waits.one")
    assert server.dead == []


async def test_a_signal_that_became_a_dead_letter_can_come_again(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Waits()) as running:
        early = {"kind": "signal", "step": "go", "payload": 7}
        await send(running, "one", early, saga_type="Waits", id="evt-1")
        await trio.sleep(60)
        assert [letter.message.id for letter in server.dead] == ["evt-1"]
        await send(running, "one", {"kind": "start"}, saga_type="Waits")
        await send(running, "one", early, saga_type="Waits", id="evt-1")
        await until_ended(server, "Waits.one")


async def test_messages_with_one_id_for_two_sagas_are_two_messages(autojump_clock: Clock) -> None:
    """The server once took the second message for a copy of the first, and its sender waited forever."""
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Waits())
        for saga_id in ("1", "2"):
            await victim.runtime.start(Waits, saga_id, None)
        beside = await start(server, Waits(), scan_interval=20.0)
        victim.kill()
        with trio.fail_after(100):
            async with trio.open_nursery() as nursery:
                for saga_id in ("1", "2"):
                    nursery.start_soon(lambda key: beside.runtime.apply(key, "cancel", id="evt-42"), f"Waits.{saga_id}")
        for saga_id in ("1", "2"):
            outcome = await (await beside.runtime.get(Waits, saga_id)).outcome()
            assert isinstance(outcome, Failed)
            assert outcome.cause == "cancelled"


CHANNELS: tuple[Channel, ...] = ("client", "operator", "system", "reply")
KINDS = sorted(set().union(*ALLOWED.values()))


def test_every_kind_of_message_has_a_channel() -> None:
    assert set(KINDS) == {"start", *get_args(InboundKind)}
    for kind in get_args(InboundKind):
        assert kind in ALLOWED[channel_of(InboxRequest(kind=kind))]


def test_no_verb_of_an_operator_or_a_worker_may_come_over_the_channel_of_clients() -> None:
    assert ALLOWED["client"] == {"start", "signal", "cancel"}
    assert ALLOWED["client"] & ALLOWED["system"] == {"start"}, "that of a child names its parent"
    assert not ALLOWED["operator"] & ALLOWED["system"]
    assert ALLOWED["operator"] & ALLOWED["reply"] == {"report"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_over_the_wrong_channel_is_a_dead_letter(kind: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    forbidden: list[Channel] = [channel for channel in CHANNELS if kind not in ALLOWED[channel]]
    async with member(server, Waits()) as running:
        await running.runtime.start(Waits, "one", None)
        before = stands(server, "SAGA_STATE", "Waits.one")
        for channel in forbidden:
            body = {"kind": kind, "step": "go", "reason": "evil"}
            await send(running, "one", body, saga_type="Waits", id=channel, channel=channel)
        await until_empty(server, within=10)
        assert sorted(letter.message.channel for letter in server.dead) == sorted(forbidden)
        assert all("may not come over" in letter.reason for letter in server.dead)
        after = stands(server, "SAGA_STATE", "Waits.one")
        assert before is not None
        assert after is not None
        assert (after["status"], after["run"], after.get("inbound")) == ("running", before["run"], None)


@pytest.mark.parametrize(("channel", "parent"), [("client", {"key": "A.b", "run": "r", "node": "n"}), ("system", None)])
async def test_only_a_worker_starts_a_child_and_only_its_own_children(
    channel: Channel, parent: dict[str, str] | None, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    async with member(server, Waits()) as running:
        body = {"kind": "start"} if parent is None else {"kind": "start", "parent": parent}
        await send(running, "one", body, saga_type="Waits", channel=channel)
        await until_empty(server, within=10)
    assert ["names a parent" in letter.reason for letter in server.dead] == [True]
    assert stands(server, "SAGA_STATE", "Waits.one") is None


async def test_a_message_that_is_passed_on_is_checked_like_one_from_a_caller(autojump_clock: Clock) -> None:
    """Six requests with ids of 200,000 characters once made a record that could not be written any more."""
    server = MemoryServer()
    async with member(server, Waits()) as running:
        await running.runtime.start(Waits, "one", None)
        for number in range(6):
            message = {"id": f"{number}" * 200_000, "kind": "signal", "step": "nothing"}
            request = msgspec.json.encode({"key": "Waits.one", "message": message})
            answer = await running.store.control.request(running.runtime.worker_id, request, timeout=5)
            assert answer == NOT_MINE
        record = await running.runtime.load(Waits, "one")
        assert record.inbound == []
        with pytest.raises(InvalidInput):
            await running.runtime.apply("Waits.one", "cancel", id="a\nb")
    assert PassedOn.__struct_fields__ == ("key", "message")


async def test_a_stopping_worker_returns_its_messages_to_the_next_at_once(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        full = await start(server, BookTrip(stop), max_active=1, drain_timeout=0.0)
        await full.runtime.start(BookTrip, "first", Trip())
        await stop.reached.wait()
        for number in range(20):
            await send(full, f"s{number}", START)
        await trio.sleep(1)
        full.leave()
        await trio.sleep(1)
        await start(server, saga := BookTrip())
        with trio.fail_after(1):  # less than the rest of ACK_WAIT
            for number in range(20):
                await until_ended(server, f"BookTrip.s{number}")
    assert saga.names.count("tickets") >= 20


async def test_a_signal_waits_for_the_start_in_work_even_in_a_crowd(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal was once parked for longer and longer, and came seconds after its saga."""
    monkeypatch.setattr(intake, "CROWD", -1)
    server, stop, parked = MemoryServer(), Stop("flight"), list[str]()
    async with member(server, BookTrip(stop), Waits(), max_active=1) as running:
        park = running.store.inbox.park

        async def note(parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
            parked.extend(parking.message.id for parking in parkings)
            return await park(parkings)

        monkeypatch.setattr(running.store.inbox, "park", note)
        await send(running, "first", START)
        await stop.reached.wait()
        await send(running, "one", {"kind": "start"}, saga_type="Waits")
        await send(running, "one", {"kind": "signal", "step": "go", "payload": 7}, saga_type="Waits")
        await trio.sleep(1)
        stop.go_on.set()
        await until_ended(server, "Waits.one")
    assert parked == []


@pytest.mark.parametrize("parent", [b"garbage", b'{"schema":99999,"saga_type":"P","saga_id":"one"}'])
async def test_a_child_that_cannot_start_and_whose_parent_is_unreadable_is_not_retried_for_ever(
    parent: bytes, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    server.bucket("SAGA_STATE").write(Write("P.one", parent))
    body = {"kind": "start", "input": "no record", "parent": {"key": "P.one", "run": "r", "node": "n"}}
    async with member(server, BookTrip()) as running:
        for number in range(30):
            await send(running, f"k{number}", body)
        await trio.sleep(120)
    newer = parent.startswith(b"{")
    assert len(server.dead) == (0 if newer else 30), "a newer worker may come, and can then be told"
    assert len([line for line in caplog.records if "not told yet" in line.message]) <= 2 * LINES


async def test_a_large_message_that_takes_up_the_room_is_buried_before_small_ones(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury = MemoryInbox.bury

    async def slow(inbox: MemoryInbox, burials: Sequence[Burial], *, by: str) -> Sequence[StoreError | None]:
        await trio.sleep(1)
        return await bury(inbox, burials, by=by)

    monkeypatch.setattr(MemoryInbox, "bury", slow)
    monkeypatch.setattr(intake, "BURIED_AT_ONCE", 1)
    server = MemoryServer()
    async with member(server, Waits()) as running:
        for number in range(4):
            size = intake.LARGE if number == 3 else 1
            body = {"kind": "retry", "reason": "r" * size}
            await send(running, f"s{number}", body, saga_type="Waits", channel="client")
        await until_empty(server, within=60)
    buried = [letter.message.saga_id for letter in server.dead]
    assert buried.index("s3") <= 1, "one may be under way when it comes"
    buried.remove("s3")
    assert buried == ["s0", "s1", "s2"]
