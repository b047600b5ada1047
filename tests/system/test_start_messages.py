"""Starts by message: their ids are kept, a signal may come with them, and the reason of a refusal can be found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import AlreadyStarted, Completed, Context, Saga, signal, step
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.faults import Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.system.members import Member, crash, killable, member, stands, suffixes, until_ended, until_taken

Clock = trio.testing.MockClock


class Ship(Saga[str, str]):
    """A saga that awaits a signal. It counts what it is told."""

    packed = signal(int)

    def __init__(self) -> None:
        self.told: list[int] = []

    @step(packed, compensate=None)
    async def send(self, order: str, packed: int, ctx: Context) -> int:
        self.told.append(packed)
        return packed

    @step(send, compensate=None)
    async def end(self, order: str, sent: int, ctx: Context) -> str:
        return f"{order} {sent}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Ship.end)


class Other(Saga[str]):
    left = signal(int)
    note = signal(str)


async def sent(server: MemoryServer, running: Member, id: str, saga_id: str = "one", **fields: Any) -> None:
    """Send a start through the inbox, and wait until it is taken."""
    given: dict[str, Any] = {"input": msgspec.Raw(b'"lamp"')} | fields
    request = InboxRequest(kind="start", **given)
    await running.worker.requests.send(SagaKey("Ship", saga_id), id, request)
    await until_taken(server)


def with_signal(number: int) -> Mapping[str, Any]:
    return {"signal": "packed", "payload": msgspec.Raw(str(number).encode())}


def codes(server: MemoryServer) -> list[tuple[str, str]]:
    return [(letter.message.id, letter.code) for letter in server.dead]


# ------------------------------------------------------------------- the id of the start


@pytest.mark.parametrize("where", ["running", "archived", "end marker"])
async def test_p10_a_start_is_never_in_conflict_with_itself(autojump_clock: Clock, where: str) -> None:
    server = MemoryServer()
    async with member(server, Ship()) as running:
        start = running.runtime.start
        first = await start(Ship, "one", "lamp", id_conflict="error", message_id="m1")
        if where != "running":
            await running.runtime.signal(Ship, "one", Ship.packed, 1)
            await until_ended(server, "Ship.one")
        if where == "end marker":
            server.bucket("SAGA_ARCHIVE").purge("Ship.one")
        again = await start(Ship, "one", "lamp", id_conflict="error", message_id="m1")
        assert again.key == first.key
        assert (await start(Ship, "one", "lamp")).key == first.key, "another start, which does not mind"
        for other in ("m2", None):
            with pytest.raises(AlreadyStarted, match=r"Ship\.one was started before: use another id"):
                await start(Ship, "one", "lamp", id_conflict="error", message_id=other)
        with pytest.raises(AlreadyStarted, match="different input"):
            await start(Ship, "one", "vase", message_id="m2")


async def test_p10_a_start_whose_answer_is_lost_is_not_in_conflict_with_itself(autojump_clock: Clock) -> None:
    """The saga's actor dies after the first write: the look that follows finds the record of this very start."""
    server = MemoryServer()
    async with member(server, Ship()) as running:
        crashed: list[str] = []

        def crash_once(watched: Watched) -> None:
            if not crashed and watched.where == "state":
                crashed.append(watched.key)
                crash(running, watched.key)

        server.faults.after_write = crash_once
        await running.runtime.start(Ship, "one", "lamp", id_conflict="error")
    assert crashed == ["Ship.one"]


async def test_a_plain_start_costs_no_byte(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Ship()) as running:
        await running.runtime.start(Ship, "one", "lamp")
        record = stands(server, "SAGA_STATE", "Ship.one") or {}
        assert not {"start_id", "starts_at"} & set(record)
        await running.runtime.signal(Ship, "one", Ship.packed, 1)
        await until_ended(server, "Ship.one")
        assert set(stands(server, "SAGA_STATE", "Ship.one") or {}) == {"ended", "outcome", "input_digest", "run"}


async def test_starts_of_the_inbox_name_the_class_of_the_error(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Ship()) as running:
        await sent(server, running, "m1", id_conflict="error")
        await sent(server, running, "m1", id_conflict="error")
        await sent(server, running, "m2")
        await sent(server, running, "m3", id_conflict="error")
        await sent(server, running, "m4", input=msgspec.Raw(b'"vase"'))
        await sent(server, running, "m5", input=msgspec.Raw(b"5"))
        await sent(server, running, "m6", "two", at=2_000_000_000, after=5)
        await sent(server, running, "m7", "two", after=1e12)
        await sent(server, running, "m8", "two", signal="nowhere")
        await sent(server, running, "m9", "two", signal="packed", payload=msgspec.Raw(b'"five"'))
        await running.worker.requests.send(SagaKey("Ship", " "), "m10", InboxRequest(kind="start"))
        await until_taken(server)
    assert (stands(server, "SAGA_STATE", "Ship.one") or {})["start_id"] == "m1"
    assert stands(server, "SAGA_STATE", "Ship.two") is None
    assert codes(server) == [
        ("m3", "AlreadyStarted"),
        ("m4", "AlreadyStarted"),
        ("m5", "InvalidInput"),
        ("m6", "InvalidInput"),
        ("m7", "InvalidInput"),
        ("m8", "InvalidInput"),
        ("m9", "InvalidInput"),
        ("m10", "InvalidId"),
    ]


# ------------------------------------------------------------------- with a signal


async def test_a_start_with_a_signal_is_one_write(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := Ship()) as running:
        handle = await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 3)
        record = await running.runtime.record(handle.key)
        assert record.steps["packed"].arrived
        assert await handle.outcome() == Completed("lamp 3")
        await until_ended(server, handle.key)
    assert suffixes(server, "one")[:3] == ["started", "signalled.packed", "step.packed"]
    assert saga.told == [3]


async def test_p10_a_start_with_a_signal_is_applied_once(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := Ship()) as running:
        for _ in range(3):
            await sent(server, running, "m1", **with_signal(3))
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 3, message_id="m1")
            await running.runtime.signal(Ship, "one", Ship.packed, 3, message_id="m1")
        await until_ended(server, "Ship.one")
        await sent(server, running, "m1", **with_signal(3))
        await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 3, message_id="m1")
    assert saga.told == [3]
    assert suffixes(server, "one").count("signalled.packed") == 1
    assert not server.dead


async def test_a_start_with_a_signal_sends_it_to_a_saga_that_runs(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := Ship()) as running:
        await running.runtime.start(Ship, "one", "lamp")
        with pytest.raises(AlreadyStarted, match="different input"):
            await running.runtime.start_with_signal(Ship, "one", "vase", Ship.packed, 4)
        with pytest.raises(AlreadyStarted, match="was started before: use"):
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 4, id_conflict="error")
        await sent(server, running, "m1", input=msgspec.Raw(b'"vase"'), **with_signal(4))
        assert not (await running.runtime.record("Ship.one")).inbound, "an error means that no signal was sent"
        for _ in range(2):
            await sent(server, running, "m2", **with_signal(5))
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 5, message_id="m2")
        await until_ended(server, "Ship.one")
        with pytest.raises(NotAllowed, match="the saga is over"):
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 7)
        server.bucket("SAGA_ARCHIVE").purge("Ship.one")
        with pytest.raises(NotAllowed, match="the saga is over"):
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 8)
    assert saga.told == [5]
    assert codes(server) == [("m1", "AlreadyStarted")]


async def test_a_start_with_a_signal_reaches_a_saga_of_another_worker(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        owner = await start(server, saga := Ship())
        other = await start(server, Ship())
        await owner.runtime.start(Ship, "one", "lamp")
        handle = await other.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 9)
        assert await handle.outcome() == Completed("lamp 9")
    assert saga.told == [9]


async def test_p10_the_worker_dies_between_the_start_and_its_answer(autojump_clock: Clock) -> None:
    """The message comes again, to another worker, which has adopted the saga or will."""
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Ship())
        await sent(server, first, "m1", "one", **with_signal(3))
        first.kill()
        second = await start(server, saga := Ship())
        await sent(server, second, "m1", "one", **with_signal(3))
        assert await (await second.runtime.get(Ship, "one")).outcome() == Completed("lamp 3")
        await until_ended(server, "Ship.one")
    assert suffixes(server, "one").count("signalled.packed") == 1
    assert saga.told in ([3], [])


MISTAKES: Mapping[str, tuple[Mapping[str, Any], type[Exception], str]] = {
    "conflict": ({"id_conflict": "ignore"}, InvalidInput, 'id_conflict=\'ignore\': write "return" or "error"'),
    "message id": ({"message_id": 7}, InvalidInput, "message_id=7: pass a text that is not blank"),
    "blank": ({"message_id": " "}, InvalidInput, "message_id=' ': pass a text"),
    "long": ({"message_id": "m" * 1025}, InvalidInput, "has 1,025 characters"),
    "surrogate": ({"message_id": "\ud800"}, InvalidInput, "not Unicode text"),
    "both": ({"at": 1.0, "after": 1.0}, InvalidInput, "a saga starts at a time or after a time, not both"),
    "no time": ({"at": "tomorrow"}, InvalidInput, "at: 'tomorrow' is not a time"),
    "no delay": ({"after": "1h"}, InvalidInput, "after='1h': write a timedelta, or seconds, from 0 on"),
    "negative": ({"after": -1}, InvalidInput, "after=-1: write a timedelta"),
    "too late": ({"at": 1e12}, InvalidInput, "would start after the year 9999"),
    "misspelt": ({"idconflict": "error"}, TypeError, "unexpected keyword argument 'idconflict'.*id_conflict"),
}


@pytest.mark.parametrize("case", MISTAKES)
async def test_a_wrong_option_of_a_start_is_refused(autojump_clock: Clock, case: str) -> None:
    options, error, says = MISTAKES[case]
    async with member(MemoryServer(), Ship()) as running:
        with pytest.raises(error, match=says):
            await running.runtime.start(Ship, "one", "lamp", **options)
        with pytest.raises(error, match=says):
            await running.runtime.start_with_signal(Ship, "one", "lamp", Ship.packed, 1, **options)
        assert not await running.runtime.list_active()


async def test_a_wrong_signal_starts_nothing(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Ship(), Other()) as running:
        start: Any = running.runtime.start_with_signal
        for signal_, payload, says in (
            (Other.left, 1, "write the signal of the class, such as Ship"),
            ("packed", 1, "write the signal of the class, such as Ship"),
            (Ship.packed, "five", "the payload is not what packed takes"),
            (Ship.packed, object(), "packed cannot take it, because it is not JSON"),
        ):
            with pytest.raises(InvalidInput, match=says):
                await start(Ship, "one", "lamp", signal_, payload)
        with pytest.raises(InvalidInput, match="the payload of note is too large"):
            await start(Other, "one", "lamp", Other.note, "x" * 600_000)
        with pytest.raises(InvalidInput, match="with id=None"):
            await running.runtime.start(Ship, None, "lamp", message_id="m1")
        assert not await running.runtime.list_active()
