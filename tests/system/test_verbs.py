"""A signal or verb that is sent again under the same id gets the same verdict; steps are named by node or by text."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing
from sagakit import Completed, Context, Failed, NotAllowed, Saga, each, signal, step
from sagakit.errors import InvalidInput, TooLate
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.sagas import Booked, BookTrip, Trip
from tests.system.members import member, until_ended
from tests.system.stuck_sagas import Asked, Slow, audit, stuck

Clock = trio.testing.MockClock


class Ship(Saga[str, str]):
    packed = signal(str)
    paid = signal(str, after=[])

    @step(packed, paid, compensate=None)
    async def send(self, order: str, packed: str, paid: str, ctx: Context) -> str:
        return f"{packed} {paid}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Ship.send)


# -------------------------------------------------------------------- same id, same verdict


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_signal_that_is_sent_again_is_accepted_again(autojump_clock: Clock, where: str) -> None:
    server = MemoryServer()
    async with member(server, Ship()) as here, member(server, Ship()) as elsewhere:
        runtime = {"here": here, "elsewhere": elsewhere}[where].runtime
        handle = await here.runtime.start(Ship, "one", "x")
        for _ in range(2):
            await runtime.signal(Ship, "one", Ship.packed, "lamp", message_id="evt-1")
        with pytest.raises(NotAllowed, match="has come already, and is taken once"):
            await runtime.signal(Ship, "one", Ship.packed, "lamp")
        with pytest.raises(NotAllowed, match="has come already, and is taken once"):
            await runtime.signal(Ship, "one", Ship.packed, "lamp", message_id="evt-2")
        await runtime.signal(Ship, "one", Ship.paid, "cash", message_id="evt-1")
        assert await handle.outcome() == Completed("lamp cash"), "an id is one signal's own"
        await until_ended(server, "Ship.one")
        for _ in range(2):
            await runtime.signal(Ship, "one", Ship.packed, "lamp", message_id="evt-1")
            with pytest.raises(NotAllowed, match="has come already, and is taken once"):
                await runtime.signal(Ship, "one", Ship.packed, "lamp", message_id="evt-2")
        with pytest.raises(NotAllowed, match="the saga is over"):
            await runtime.signal(Ship, "one", Ship.packed, "lamp", message_id="evt-3")


async def test_verbs_that_are_sent_again_get_the_same_verdict(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        for _ in range(2):
            await handle.retry("again", message_id="r1")
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        for _ in range(2):
            await handle.complete_step("tickets", Booked("T"), "by hand", message_id="c1")
        assert await handle.outcome() == Completed("T")
        for _ in range(2):
            await handle.complete_step("tickets", Booked("T"), "by hand", message_id="c1")
        with pytest.raises(TooLate):
            await handle.cancel(message_id="x1")

        other = await running.runtime.start(BookTrip, "two", Trip(refuse="flight", fail="cancel_hotel"))
        await settled(other)
        for _ in range(2):
            await other.mark_undone("hotel", "by phone", message_id="m1")
        await other.outcome()
        third = await stuck(running.runtime, saga, "three", Trip(fail="tickets"))
        for _ in range(2):
            await third.compensate("enough", message_id="k1")
        assert isinstance(await third.outcome(), Failed)
        fourth = await stuck(running.runtime, saga, "four", Trip(fail="tickets"))
        for _ in range(2):
            await fourth.terminate("enough", message_id="t1")
    for verb in ("retry", "complete-step", "mark-undone", "compensate", "terminate"):
        assert len(audit(server, verb)) == 1, verb


async def test_a_report_that_is_sent_again_settles_the_step_again(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Asked()) as running:
        handle = await running.runtime.start(Asked, "one", "x")
        await settled(handle)
        for _ in range(2):
            assert await handle.report(Asked.pay, {"ref": "it did happen"}, message_id="evt-9")
        with pytest.raises(NotAllowed):
            await handle.report(Asked.pay, {"ref": "it did happen"}, message_id="evt-10")


@pytest.mark.parametrize("message_id", ["", " ", 7])
async def test_a_message_id_that_is_blank_or_not_text_is_refused(autojump_clock: Clock, message_id: Any) -> None:
    async with member(MemoryServer(), Ship()) as running:
        handle = await running.runtime.start(Ship, "one", "x")
        with pytest.raises(InvalidInput, match="message_id="):
            await running.runtime.signal(Ship, "one", Ship.packed, "lamp", message_id=message_id)
        with pytest.raises(InvalidInput, match="message_id="):
            await handle.cancel(message_id=message_id)


# ------------------------------------------------------------------------- nodes and names


async def test_verbs_take_the_node_as_well_as_its_name(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga, Slow()) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        await handle.complete_step(BookTrip.tickets, Booked("T"), "by hand")
        assert await handle.outcome() == Completed("T")
        other = await running.runtime.start(BookTrip, "two", Trip(refuse="flight", fail="cancel_hotel"))
        await settled(other)
        await other.mark_undone(BookTrip.hotel, "by phone")
        outcome = await other.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.compensated == ("hotel",)


async def test_a_misspelled_step_is_refused_with_the_nearest_name(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga, Ship()) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        nearest = r"BookTrip\.one: BookTrip has no step 'ticket'; did you mean 'tickets'\?"
        with pytest.raises(InvalidInput, match=nearest):
            await handle.complete_step("ticket", Booked("T"), "by hand")
        with pytest.raises(InvalidInput, match=nearest):
            await handle.mark_undone("ticket", "by hand")
        with pytest.raises(InvalidInput, match=nearest):
            await handle.report("ticket", Booked("T"))
        with pytest.raises(InvalidInput, match="has no step 'zzz': it has hotel, flight, tickets"):
            await handle.report("zzz", Booked("T"))
        with pytest.raises(InvalidInput, match=r"Ship\.send is not a node of BookTrip"):
            await handle.complete_step(Ship.send, "x", "by hand")
        wrong: Any = 7
        with pytest.raises(InvalidInput, match=r"7 is not a step: say its name, or the node, such as BookTrip\.hotel"):
            await handle.complete_step(wrong, "x", "by hand")
        with pytest.raises(InvalidInput, match=r"Ship\.packed is not a node of BookTrip"):
            await running.runtime.signal(BookTrip, "one", Ship.packed, "x")
        assert (await record_of(handle)).inbound == [], "no place of the record was spent"


class Many(Saga[list[str]]):
    @step(compensate=None)
    async def list_them(self, input: list[str], ctx: Context) -> list[str]:
        return input

    @each(list_them, lambda them: them)
    async def label(self, input: list[str], one: str, ctx: Context) -> None: ...

    @label.compensate
    async def tear(self, input: list[str], one: str, left: None, ctx: Context) -> None: ...


async def test_an_item_of_an_each_is_named_as_a_step(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Many()) as running:
        handle = await running.runtime.start(Many, "one", ["a"])
        await handle.outcome()
        with pytest.raises(NotAllowed, match="label/0 cannot be marked undone"):
            await handle.mark_undone("label/0", "seen")


class OldJob(Saga[str], name="Job", version=1):
    go = signal(str)

    @step(go, compensate=None)
    async def early(self, input: str, go: str, ctx: Context) -> str:
        return go


class NewJob(Saga[str], name="Job", version=2):
    ready = signal(str)


async def test_a_step_that_only_the_sagas_own_version_has_is_left_to_that_version(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, OldJob()) as old, member(server, NewJob()) as new:
        handle = await old.runtime.start(OldJob, "one", "x")
        seen = await new.runtime.get(NewJob, "one")
        with pytest.raises(NotAllowed, match="early cannot be completed by hand"):
            await seen.complete_step("early", "x", "by hand")
        await new.runtime.signal(NewJob, "one", OldJob.go, "on")
        await handle.outcome()
