"""Steps that another service does: their attempts survive workers, and a reply counts whoever owns the saga."""

from __future__ import annotations

from datetime import timedelta

import trio
import trio.testing
from sagakit import Completed, Context, Failed, RetryPolicy, Saga, remote
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.system.commands_taken import reply, taken
from tests.system.members import member

Clock = trio.testing.MockClock
FAST = RetryPolicy(max_attempts=3, initial_interval=timedelta(seconds=1))


class Buy(Saga[int, str]):
    charge = remote(
        "payments.charge", str, send=lambda total, ctx: {"total": total}, compensate="payments.refund", retry=FAST
    )
    ship = remote(
        "shipping.ship", str, send=lambda total, ctx: ctx.result(Buy.charge), compensate=None, after=[charge],
        retry=RetryPolicy(max_attempts=2, initial_interval=timedelta(seconds=1)),
    )  # fmt: skip

    def output(self, input: int, ctx: Context) -> str:
        return f"{ctx.result(Buy.charge)} {ctx.result(Buy.ship)}"


async def test_a_saga_runs_through_two_services(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as running:
        handle = await running.runtime.start(Buy, "1", 30)
        charge = await taken(server, "payments.charge")
        assert (charge.kind, bytes(charge.payload), charge.key) == ("do", b'{"total":30}', charge.action_key)
        reply(server, charge, "done", payload="paid")
        ship = await taken(server, "shipping.ship")
        assert bytes(ship.payload) == b'"paid"'
        reply(server, ship, "done", payload="sent")
        with trio.fail_after(60):
            assert await handle.outcome() == Completed("paid sent")
        assert not server.commands


async def test_a_refusal_undoes_what_another_service_has_done(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as running:
        handle = await running.runtime.start(Buy, "1", 30)
        charge = await taken(server, "payments.charge")
        reply(server, charge, "done", payload="paid")
        reply(server, await taken(server, "shipping.ship"), "rejected", code="no_such_street", payload={"street": "x"})
        refund = await taken(server, "payments.refund")
        assert (refund.kind, refund.action_key, bytes(refund.result)) == ("undo", charge.key, b'"paid"')
        reply(server, refund, "done")
        with trio.fail_after(60):
            outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.compensated) == ("no_such_street", ("charge",))


async def test_an_attempt_survives_its_worker(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as first:
        await first.runtime.start(Buy, "1", 30)
        charge = await taken(server, "payments.charge")
        first.kill()
    async with member(server, Buy()) as second:
        with trio.fail_after(600):
            assert not server.commands  # the next owner hands the same command in again, and the server has it
            reply(server, charge, "done", payload="paid")
            reply(server, await taken(server, "shipping.ship"), "done", payload="sent")
            record = await settled(await second.runtime.get(Buy, "1"))
    assert (record.status, record.recoveries, record.steps["charge"].attempt) == ("completed", 0, 1)


async def test_a_reply_in_the_inbox_counts_although_the_time_is_over_before_it_is_handed_out(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as first:
        await first.runtime.start(Buy, "1", 30)
        charge = await taken(server, "payments.charge")
        first.kill()
    reply(server, charge, "done", payload="paid")
    await trio.sleep(3_600)  # its time has long been over
    # the next owner adopts the saga within a minute; a worker that was lost has the reply in hand for longer
    server.inbox[-1].again_at = trio.current_time() + 300
    async with member(server, Buy()) as second:
        with trio.fail_after(1_200):
            # the next owner hands the command in again, long after the server has forgotten its id; no second attempt
            assert await taken(server, "payments.charge") == charge
            assert bytes((await taken(server, "shipping.ship")).payload) == b'"paid"'
        record = await record_of(await second.runtime.get(Buy, "1"))
    assert (record.steps["charge"].state, record.steps["charge"].attempt) == ("done", 1)


async def test_without_a_reply_the_command_is_sent_again_under_its_key(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as running:
        handle = await running.runtime.start(Buy, "1", 30)
        first = await taken(server, "payments.charge")
        with trio.fail_after(60):
            second = await taken(server, "payments.charge")
        assert (second.key, second.attempt, second.key_since) == (first.key, 2, first.key_since)
        reply(server, first, "done", payload="late, and still true")
        reply(server, await taken(server, "shipping.ship"), "done", payload="sent")
        with trio.fail_after(60):
            assert await handle.outcome() == Completed("late, and still true sent")


async def test_a_saga_that_waits_for_a_reply_has_no_actor(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy(), passivate_after=5.0) as running:
        await running.runtime.start(Buy, "1", 30)
        charge = await taken(server, "payments.charge")
        await trio.sleep(20)
        assert running.runtime.passivated == 1
        reply(server, charge, "done", payload="paid")
        with trio.fail_after(60):
            assert bytes((await taken(server, "shipping.ship")).payload) == b'"paid"'
