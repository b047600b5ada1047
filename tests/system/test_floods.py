"""Messages that can never be applied, by the thousand, hold up no other message of their type; in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec import Raw
from sagakit import Context, Failed, Saga, signal, step
from sagakit.cluster.elsewhere import Elsewhere
from sagakit.errors import StoreError
from sagakit.messages.channels import channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory import open_memory
from sagakit.store.memory_inbox import MemoryInbox
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Channel, Names
from sagakit.store.ports import Burial, InboundMessage, Parking, Store
from sagakit.system.inbound import in_hand, intake
from sagakit.system.inbound.applier import read_request
from sagakit.system.inbound.intake import Intake

from tests.system.members import member, until_ended

Clock = trio.testing.MockClock
JUNK: dict[str, dict[str, Any]] = {
    "kind": {"kind": "dance"},
    "verb": {"kind": "retry", "reason": "over the channel of clients"},
    "input": {"kind": "start", "input": "no number"},
    "large": {"kind": "retry", "reason": "r" * 1_000},
}


class Adds(Saga[int, int]):
    """A saga that waits for a signal."""

    go = signal(int)

    @step(go, compensate=None)
    async def add(self, first: int, go: int, ctx: Context) -> int:
        return first + go

    def output(self, input: int, ctx: Context) -> int:
        return ctx.result(Adds.add)


async def send(store: Store, saga_id: str, body: dict[str, Any], *, junk: bool = False) -> None:
    payload = msgspec.json.encode(body)
    channel: Channel = "client" if junk else channel_of(msgspec.json.decode(payload, type=InboxRequest))
    id = f"{body['kind']}-{saga_id}"
    await store.inbox.send(channel, id=id, saga_type="Adds", saga_id=saga_id, payload=payload)


async def flood(store: Store, number: int, body: dict[str, Any]) -> None:
    for count in range(number):
        await send(store, f"junk-{count}", body, junk=True)


async def start_and_signal(store: Store, saga_id: str) -> None:
    await send(store, saga_id, {"kind": "start", "input": 1})
    await send(store, saga_id, {"kind": "signal", "step": "go", "payload": 2})


async def until_dead(server: MemoryServer, number: int) -> None:
    """Return when so many messages are dead letters, each of them once, and the inbox is empty."""
    with trio.fail_after(200):
        while server.inbox:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
    letters = Counter(letter.message.id for letter in server.dead)
    assert (len(letters), set(letters.values())) == (number, {1})


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
async def test_a_burial_that_waits_holds_up_no_message_of_the_same_type(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Nothing was taken any more while bad messages filled the room for those in hand."""
    monkeypatch.setattr(in_hand, "MOST", 8)
    monkeypatch.setattr(in_hand, "MOST_BYTES", 4_000)
    monkeypatch.setattr(in_hand, "MOST_DEAD", 12)
    bury, go_on = MemoryInbox.bury, trio.Event()

    async def wait(inbox: MemoryInbox, burials: Sequence[Burial], *, by: str) -> Sequence[StoreError | None]:
        await go_on.wait()
        return await bury(inbox, burials, by=by)

    monkeypatch.setattr(MemoryInbox, "bury", wait)
    server = MemoryServer()
    async with member(server, Adds()) as running:
        with trio.fail_after(2):
            await start_and_signal(running.store, "before")
            await running.runtime.start(Adds, "victim", 1)
            await flood(running.store, 40, body)
            await start_and_signal(running.store, "behind")
            await send(running.store, "victim", {"kind": "terminate", "reason": "enough"})
            outcome = await (await running.runtime.get(Adds, "victim")).outcome()
            await until_ended(server, "Adds.before")
            await until_ended(server, "Adds.behind")
        assert isinstance(outcome, Failed)
        assert server.dead == []
        await trio.sleep(30)  # what was given back comes again, and finds no room again
        assert server.dead == []
        go_on.set()
        await until_dead(server, 40)


async def test_starts_that_another_worker_may_read_hold_up_no_other_start(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Such starts filled the lane while the leases of other workers were looked at, and good starts were parked."""
    monkeypatch.setattr(intake, "CROWD", -1)
    monkeypatch.setattr(Intake._lane, "__kwdefaults__", {"at_once": 2, "waiting": 2})
    look, parked = trio.Event(), list[str]()

    async def can_read(_: Elsewhere, saga_type: str, value: bytes | Raw) -> bool:
        await look.wait()
        return False

    park = MemoryInbox.park

    async def note(inbox: MemoryInbox, parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
        parked.extend(parking.message.saga_id for parking in parkings)
        return await park(inbox, parkings)

    monkeypatch.setattr(Elsewhere, "can_read", can_read)
    monkeypatch.setattr(MemoryInbox, "park", note)
    server = MemoryServer()
    async with member(server, Adds()) as running:
        with trio.fail_after(2):
            await flood(running.store, 20, JUNK["input"])
            await start_and_signal(running.store, "behind")
            await until_ended(server, "Adds.behind")
        assert parked == []
        look.set()
        await until_dead(server, 20)


async def test_a_start_that_another_worker_can_read_is_left_to_it_in_a_crowd(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    monkeypatch.setattr(intake, "CROWD", -1)

    async def can_read(_: Elsewhere, saga_type: str, value: bytes | Raw) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    monkeypatch.setattr(Elsewhere, "can_read", can_read)
    server = MemoryServer()
    async with member(server, Adds()) as running:
        await flood(running.store, 3, JUNK["input"])
        await trio.sleep(60)
        assert server.dead == []
        assert sorted(message.saga_id for message in server.inbox) == ["junk-0", "junk-1", "junk-2"]


async def test_a_flood_gives_others_a_turn(monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock) -> None:
    class Turns(trio.abc.Instrument):
        """Counts the turns of the loop."""

        number = 0

        def before_io_wait(self, timeout: float) -> None:
            self.number += 1

    turns, taken = Turns(), Counter[int]()

    def read(message: InboundMessage) -> InboxRequest:
        taken[turns.number] += 1
        return read_request(message)

    monkeypatch.setattr(intake, "TAKEN_AT_ONCE", 4)
    monkeypatch.setattr(intake, "read_request", read)
    server = MemoryServer()
    async with open_memory(server, names=Names()) as store:
        await flood(store, 40, JUNK["kind"])
    trio.lowlevel.add_instrument(turns)
    async with member(server, Adds()):
        await until_dead(server, 40)
    assert taken.total() == 40
    assert max(taken.values()) <= 4
