"""A description of a saga for people: decoded values, attempts with times and errors, and a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing
from sagakit import (
    Context,
    Description,
    Done,
    NotDone,
    Reject,
    RetryPolicy,
    Saga,
    child,
    each,
    signal,
    step,
)
from sagakit.errors import UnknownSaga
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.sagas import Booked, BookTrip, Trip
from tests.system.members import EPOCH, member
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock


async def test_a_stuck_saga_is_described_with_its_values_and_attempts(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(city="Oslo", fail="tickets"))
        found = await handle.describe()
        assert found == await running.runtime.describe(BookTrip, "one")
    assert (found.type, found.id, found.status, found.input) == (
        "BookTrip",
        "one",
        "stuck",
        Trip("Oslo", fail="tickets"),
    )
    assert (found.created_at - datetime.fromtimestamp(EPOCH, UTC)).total_seconds() < 5
    by_name = {view.name: view for view in found.steps}
    assert by_name["hotel"].result == Booked("hotel-Oslo")
    assert [(one.kind, one.number, one.error) for one in by_name["hotel"].attempts] == [("do", 1, None)]
    tries = by_name["tickets"].attempts
    assert [(one.kind, one.number) for one in tries] == [("do", 1), ("do", 2), ("do", 3)]
    assert all("tickets broke" in (one.error or "") for one in tries)
    began, ended = [one.began for one in tries], [one.at for one in tries]
    assert None not in began
    assert ended[2] is None, "no event tells of the end of the attempt that left it held"
    assert all(one.at is not None and one.next_at is not None and one.next_at > one.at for one in tries[:2])
    assert sorted([*began, *ended[:2]], key=str) == [began[0], ended[0], began[1], ended[1], began[2]]
    assert by_name["tickets"].calls == 3
    text = str(found)
    assert text.startswith("BookTrip one: stuck\n")
    assert "input Trip(city='Oslo'" in text
    assert "hotel: done, 1 attempt, result Booked(ref='hotel-Oslo')" in text
    assert "do 2: " in text
    assert "Raw" not in text


async def test_failed_tries_of_a_compensation_are_described(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(refuse="flight", fail="cancel_hotel"))
        await settled(handle)
        found = await handle.describe()
    hotel = next(view for view in found.steps if view.name == "hotel")
    assert [(one.kind, one.number) for one in hotel.attempts] == [("do", 1), ("undo", 1), ("undo", 2), ("undo", None)]
    assert (found.cause, found.code) == ("rejected", "refused")
    assert "turned back: rejected, refused" in str(found)


ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


class Slow(Saga[str]):
    """A saga whose calls take known seconds: `pay` 1, then 2; its check 4; its undo 8, then 16."""

    def __init__(self) -> None:
        self.seconds = {"pay": [1, 2], "paid": [4], "refund": [8, 16], "label": [3, 3], "last": [5]}

    async def _take(self, what: str) -> None:
        await trio.sleep(self.seconds[what].pop(0))

    @step(retry=TWICE, on_unknown="retry")
    async def pay(self, input: str, ctx: Context) -> list[str]:
        await self._take("pay")
        if self.seconds["pay"]:
            raise RuntimeError("broke")
        return ["a", "b"]

    @pay.compensate(retry=TWICE)
    async def refund(self, input: str, left: list[str] | None, ctx: Context) -> None:
        await self._take("refund")
        if self.seconds["refund"]:
            raise RuntimeError("broke")

    @each(pay, lambda them: them, retry=ONCE, compensate=None)
    async def label(self, input: str, one: str, ctx: Context) -> None:
        await self._take("label")

    @step(label, compensate=None, retry=ONCE)
    async def last(self, input: str, labels: Sequence[None], ctx: Context) -> None:
        await self._take("last")
        raise Reject("enough")


def spans(found: Description) -> dict[str, list[tuple[str, float | None]]]:
    """Return each step's attempts with the seconds that each took; None while an attempt is under way."""
    return {
        view.name: [
            (one.kind, None if one.at is None or one.began is None else round((one.at - one.began).total_seconds(), 1))
            for one in view.attempts
        ]
        for view in found.steps
    }


async def test_each_attempt_says_when_it_began(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Slow()) as running:
        handle = await running.runtime.start(Slow, "one", "x")
        await trio.sleep(0.5)
        under_way = await handle.describe()
        assert spans(under_way) == {"pay": [("do", None)]}
        (pay,) = under_way.steps
        assert pay.attempts[0].began is not None
        assert pay.until == pay.attempts[0].began + timedelta(seconds=30)
        assert "do 1: under way" in str(under_way)
        await handle.outcome()
        found = await handle.describe()
    assert spans(found) == {
        "pay": [("do", 1), ("do", 2), ("undo", 8), ("undo", 16)],
        "label": [],
        "label/0": [("do", 3)],
        "label/1": [("do", 3)],
        "last": [("do", 5)],
    }
    (last,) = next(view for view in found.steps if view.name == "last").attempts
    assert last.error == "rejected: enough"
    assert re.search(r"\n    \S+ \S+Z to \S+ \S+Z do 1: RuntimeError\('broke'\)\n", str(found))


async def test_an_attempt_of_a_check_says_when_it_began(autojump_clock: Clock) -> None:
    class Ask(Saga[str]):
        @step(retry=TWICE, on_unknown="check", compensate=None)
        async def pay(self, input: str, ctx: Context) -> str:
            await trio.sleep(1)
            raise RuntimeError("broke")

        @pay.check
        async def paid(self, input: str, ctx: Context) -> Done[str] | NotDone | None:
            await trio.sleep(4)
            return None

    async with member(MemoryServer(), Ask()) as running:
        handle = await running.runtime.start(Ask, "one", "x")
        await settled(handle)
        found = await handle.describe()
    assert spans(found) == {"pay": [("check", 4), ("check", None)]}
    (pay,) = found.steps
    assert pay.attempts[1].began is not None
    assert pay.attempts[1].error is not None, "it is held: what went wrong is known, and no event tells when it ended"
    assert pay.until is None


async def test_an_end_that_is_written_by_hand_is_not_an_attempt(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        await trio.sleep(1000)
        await handle.complete_step("tickets", Booked("T"), "by hand")
        await handle.outcome()
        tickets = next(view for view in (await handle.describe()).steps if view.name == "tickets")
    assert tickets.attempts[-1].began is None


class Part(Saga[str]):
    go = signal(str)


class Whole(Saga[str]):
    @step(compensate=None)
    async def first(self, input: str, ctx: Context) -> None: ...

    part = child(Part, lambda input, ctx: input, after=[first])


async def test_a_child_whose_type_no_worker_runs_is_described_as_such(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Whole()) as running:
        handle = await running.runtime.start(Whole, "one", "x")
        await trio.sleep(10)
        text = str(await handle.describe())
        assert "no worker runs Part: part waits until one does" in text
        async with member(server, Part()):
            await trio.sleep(10)
            assert "no worker runs" not in str(await handle.describe())


async def test_a_description_of_an_unknown_saga_is_an_error(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(UnknownSaga):
            await running.runtime.describe(BookTrip, "nobody")
