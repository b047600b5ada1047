"""Remote steps over a real server: a worker here, participants beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from sagakit import Completed, Failed, Reject, RetryPolicy, Saga, open_client, open_runtime, remote
from sagakit.participant import CommandContext, MemoryKeys, Service, open_participant

from tests.participant.shop import Books, Buy, Order, payments, shipping
from tests.servers import Server

WITHIN = 120


async def test_sagas_run_through_two_services_and_are_undone_there(server: Server, namespace: str) -> None:
    books = Books()
    async with (
        open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
        open_participant(server.url, payments(books), keys=MemoryKeys(), namespace=namespace),
        open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
    ):
        with trio.fail_after(60):
            assert await runtime.execute(Buy, "1", Order(30)) == Completed("r30 sent")
            outcome = await runtime.execute(Buy, "2", Order(200))
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.compensated) == ("too_heavy", ("charge",))
    assert (books.charged, books.refunded) == ([30, 200], ["r200"])


@pytest.mark.parametrize("id", ["a\nb", "a\r\nb", "\x00", "é/ש"])
async def test_a_saga_whose_id_no_header_takes_runs_through_services(server: Server, namespace: str, id: str) -> None:
    """The id of a command contains the saga's. A line break in it ended the saga's actor, and then the participant."""
    with trio.fail_after(WITHIN):
        async with (
            open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
            open_participant(server.url, payments(Books()), keys=MemoryKeys(), namespace=namespace),
            open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
        ):
            assert await runtime.execute(Buy, id, Order(30)) == Completed("r30 sent")
            outcome = await runtime.execute(Buy, f"{id} 2", Order(200))
            assert isinstance(outcome, Failed)
            assert outcome.compensated == ("charge",)


class Print(Saga[Order]):
    draw = remote(
        "printer.draw", str, send=lambda order, ctx: {"total": order.total}, compensate="printer.erase",
        retry=RetryPolicy(max_attempts=2, initial_interval=timedelta(seconds=0.01)),
    )  # fmt: skip


async def test_a_reply_that_is_too_large_for_the_server_is_unknown_and_leaves_no_command(
    server: Server, namespace: str
) -> None:
    """Its command came again each second, for ever, and the saga was told of silence. A refusal counts all the same."""
    drawn, erased, printer, size = list[int](), list[int](), Service("printer"), 2_000_000

    @printer.endpoint("draw")
    async def draw(order: Order, ctx: CommandContext) -> str:
        drawn.append(order.total)
        if order.total > size:
            raise Reject("too_much_ink", detail="x" * order.total)
        return "x" * order.total

    @draw.undo("erase")
    async def erase(order: Order, picture: str, ctx: CommandContext) -> None:
        erased.append(len(picture))

    with trio.fail_after(WITHIN):
        async with (
            open_runtime(server.url, sagas=[Print()], namespace=namespace) as runtime,
            open_client(server.url, namespace=namespace) as client,
            open_participant(server.url, printer, keys=MemoryKeys(), namespace=namespace),
        ):
            outcome = await runtime.execute(Print, "1", Order(size))
            assert isinstance(outcome, Failed)
            assert (outcome.cause, outcome.compensated) == ("exhausted", ("draw",))
            assert "the reply is too large" in str(outcome.reason)
            assert (drawn, erased) == ([size], [size]), "the work is done once, and undone"
            refused = await runtime.execute(Print, "2", Order(size + 1))
            assert isinstance(refused, Failed)
            assert (refused.cause, refused.code, drawn) == ("rejected", "too_much_ink", [size, size + 1])
            while b'"messages":0' not in await client.wire.request(  # noqa: ASYNC110  # the acknowledgment is on its way
                f"$JS.API.STREAM.INFO.{client.names.commands}"
            ):
                await trio.sleep(0.02)
