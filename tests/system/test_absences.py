"""A flood of messages to a saga that does not exist costs few looks, and delays no message to a saga that does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from sagakit.errors import StoreError, UnknownSaga
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory import MemoryKeyValue
from sagakit.store.memory_inbox import MemoryInbox
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import InboundMessage, Parking
from sagakit.system.inbound import intake
from sagakit.system.inbound.absences import KNOWN_FOR, Absences
from sagakit.system.inbound.applier import Applier

from tests.system.members import member, until_ended
from tests.system.test_intake import Waits, send

Clock = trio.testing.MockClock
GO = {"kind": "signal", "step": "go", "payload": 7}


async def test_a_look_that_found_nothing_counts_for_a_moment(autojump_clock: Clock) -> None:
    absences = Absences()
    absences.note("T.1")
    await trio.sleep(KNOWN_FOR / 2)
    absences.note("T.2")
    assert [absences.has(key) for key in ("T.1", "T.2", "T.3")] == [True, True, False]
    await trio.sleep(KNOWN_FOR / 2)
    assert [absences.has(key) for key in ("T.1", "T.2", "T.3")] == [False, True, False]


async def test_absences_of_the_past_take_no_memory(autojump_clock: Clock) -> None:
    absences = Absences()
    for number in range(1_000):
        absences.note(f"T.{number}")
        await trio.sleep(KNOWN_FOR / 10)
    assert len(absences._until) <= 11


async def test_hundreds_of_messages_to_one_unknown_saga_share_their_looks(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In these ten seconds each message is tried four times, and each look would be two reads: 2,400."""
    looks: list[float] = []
    get = MemoryKeyValue.get

    async def counted(bucket: MemoryKeyValue, key: str) -> Any:
        if key == "Waits.nobody":
            looks.append(trio.current_time())
        return await get(bucket, key)

    monkeypatch.setattr(MemoryKeyValue, "get", counted)
    server = MemoryServer()
    async with member(server, Waits()) as running:
        for number in range(300):
            await send(running, "nobody", GO, saga_type="Waits", id=f"m{number}")
        await trio.sleep(1)
        looks.clear()
        await trio.sleep(10)
        assert 0 < len(looks) < 600
        await send(running, "nobody", {"kind": "start"}, saga_type="Waits")
        await until_ended(server, "Waits.nobody")
    assert server.dead == []


async def test_a_saga_that_this_worker_has_begun_is_not_taken_for_absent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Waits()) as running:
        for number in range(300):
            await send(running, "one", {**GO, "step": "nothing"}, saga_type="Waits", id=f"m{number}")
        await trio.sleep(0.1)
        await running.runtime.start(Waits, "one", None)
        began = trio.current_time()
        await send(running, "one", GO, saga_type="Waits")
        await until_ended(server, "Waits.one")
        assert trio.current_time() - began < KNOWN_FOR / 2


async def test_a_caller_finds_a_saga_that_another_worker_has_begun_a_moment_after_a_look(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Waits()) as one, member(server, Waits()) as other:
        with pytest.raises(UnknownSaga):
            await one.runtime.apply("Waits.one", "cancel")
        await other.runtime.start(Waits, "one", None)
        await one.runtime.apply("Waits.one", "cancel")
        await until_ended(server, "Waits.one")


async def test_a_signal_is_not_parked_if_its_start_ends_while_the_saga_is_looked_for(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a crowd it was, and waited for its turn behind everything else that was parked."""
    parked: list[str] = []
    delayed = trio.Event()
    server = MemoryServer()
    async with member(server, Waits()) as running:
        state, get = running.store.state, MemoryKeyValue.get
        lookers: set[trio.lowlevel.Task] = set()

        async def slow(bucket: MemoryKeyValue, key: str) -> Any:
            """Read. A start reads the archive first, and a signal the state: its second read takes a second."""
            entry = await get(bucket, key)
            if key == "Waits.one" and bucket is state and not delayed.is_set():
                lookers.add(trio.lowlevel.current_task())
            elif trio.lowlevel.current_task() in lookers:
                delayed.set()
                await trio.sleep(1)
            return entry

        async def park(inbox: MemoryInbox, parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
            parked.extend(parking.message.id for parking in parkings)
            return [None] * len(parkings)

        monkeypatch.setattr(MemoryKeyValue, "get", slow)
        monkeypatch.setattr(MemoryInbox, "park", park)
        monkeypatch.setattr(intake, "CROWD", 0)
        await send(running, "one", {"kind": "start"}, saga_type="Waits")
        await send(running, "one", GO, saga_type="Waits")
        await trio.sleep(2)
        assert delayed.is_set()
        assert parked == []
        await until_ended(server, "Waits.one")


async def test_in_a_crowd_a_message_to_a_saga_that_was_just_not_found_waits_without_a_try(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them once took a task, and was tried again and again as if it alone waited for its saga."""
    monkeypatch.setattr(intake, "CROWD", 0)
    tries = Counter[str]()
    apply = Applier.apply

    async def counted(applier: Applier, message: InboundMessage, request: InboxRequest, *, sparing: bool) -> None:
        tries[message.id] += 1
        await apply(applier, message, request, sparing=sparing)

    monkeypatch.setattr(Applier, "apply", counted)
    server = MemoryServer()
    async with member(server, Waits()) as running:
        await send(running, "nobody", GO, saga_type="Waits", id="first")
        await trio.sleep(KNOWN_FOR / 4)
        for number in range(100):
            await send(running, "nobody", GO, saga_type="Waits", id=f"m{number}")
        await trio.sleep(KNOWN_FOR / 4)
        assert tries == {"first": 1}
        await send(running, "nobody", {"kind": "start"}, saga_type="Waits")
        await until_ended(server, "Waits.nobody")
        with trio.fail_after(30):
            while server.inbox:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
    assert server.dead == []
