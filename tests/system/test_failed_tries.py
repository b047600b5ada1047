"""A failed attempt of an action, a check or a compensation leaves an event each time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import trio.testing
from sagakit import Completed, Context, Done, Failed, NotDone, RetryPolicy, Saga, each, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.sagas import QUICK, BookTrip, Trip
from tests.system.members import events_of, member, suffixes

Clock = trio.testing.MockClock


def data_of(server: MemoryServer, id: str, ending: str) -> list[dict[str, Any]]:
    return [body["data"] for body in events_of(server, id) if body["type"].endswith(ending)]


async def test_a_failed_compensation_leaves_an_event_for_each_try(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(refuse="flight", fail="cancel_hotel"))
        assert (await settled(handle)).status == "stuck"
        tries = data_of(server, "one", "step.hotel.undo_retrying")
        assert [found["attempt"] for found in tries] == [1, 2]
        assert all(found["step"] == "hotel" and found["unknown"] and found["delay"] > 0 for found in tries)
        assert all("cancel_hotel broke" in found["error"] for found in tries)
        await handle.terminate("enough")
        await running.retired()
    assert suffixes(server, "one") == [
        "started", "step.hotel", "compensating", "step.hotel.undo_retrying", "step.hotel.undo_retrying",
        "step.hotel.undo_failed", "stuck", "operator.terminate", "failed",
    ]  # fmt: skip


class Parcels(Saga[list[str]]):
    def __init__(self) -> None:
        self.torn = 0

    @step(compensate=None)
    async def pack(self, input: list[str], ctx: Context) -> list[str]:
        return input

    @each(pack, lambda parcels: parcels, retry=QUICK)
    async def label(self, input: list[str], parcel: str, ctx: Context) -> None: ...

    @label.compensate(retry=QUICK)
    async def tear(self, input: list[str], parcel: str, left: None, ctx: Context) -> None:
        self.torn += 1
        if self.torn == 1:
            raise RuntimeError("torn badly")

    @step(label, compensate=None, retry=RetryPolicy(max_attempts=1))
    async def send(self, input: list[str], label: Any, ctx: Context) -> None:
        raise RuntimeError("no van")


async def test_a_failed_compensation_of_an_item_names_the_item(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Parcels()) as running:
        assert isinstance(await running.runtime.execute(Parcels, "one", ["a"]), Failed)
        await running.retired()
    (found,) = data_of(server, "one", "step.label.undo_retrying")
    assert (found["item"], found["attempt"]) == (0, 1)


class Charge(Saga[str, int]):
    def __init__(self) -> None:
        self.asked = 0

    @step(on_unknown="check", compensate=None, retry=QUICK, timeout=timedelta(seconds=5))
    async def charge(self, input: str, ctx: Context) -> int:
        raise RuntimeError("no answer")

    @charge.check
    async def was_charged(self, input: str, ctx: Context) -> Done[int] | NotDone | None:
        self.asked += 1
        if self.asked < 3:
            raise RuntimeError("no answer to the check")
        return Done(7)

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Charge.charge)


async def test_a_failed_check_leaves_an_event_for_each_try(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Charge()) as running:
        assert await running.runtime.execute(Charge, "one", "x") == Completed(7)
        await running.retired()
    tries = data_of(server, "one", "step.charge.check_retrying")
    assert [found["attempt"] for found in tries] == [1, 2]
    assert all("no answer to the check" in found["error"] for found in tries)


async def test_a_saga_that_succeeds_leaves_no_event_of_a_failure(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.retired()
    assert suffixes(server, "one") == ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
