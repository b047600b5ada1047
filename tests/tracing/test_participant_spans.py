"""A participant has a span for each command, a child of the attempt's, and the current one in the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from opentelemetry import trace
from sagakit import open_runtime
from sagakit.participant import (
    CommandContext,
    MemoryKeys,
    Reject,
    Service,
    open_asyncio_participant,
    open_participant,
)

from tests.participant.shop import Books, Buy, Order, payments
from tests.servers import Server
from tests.tracing.exported import Exported, parent_id, span_id, traces_of


def shipping(tracer: trace.Tracer) -> Service:
    """Return a service with a span of its own in its handler; it refuses what is heavy."""
    service = Service("shipping")

    @service.endpoint("ship")
    async def ship(order: Order, ctx: CommandContext) -> str:
        with tracer.start_as_current_span("weigh"):
            if order.total > 100:
                raise Reject("too_heavy", total=order.total)
        return "sent"

    return service


@asynccontextmanager
async def in_asyncio(url: str, service: Service, out: Exported, namespace: str) -> AsyncIterator[None]:
    """Serve a participant in an asyncio program, in a thread."""
    ready, token, stop = trio.Event(), trio.lowlevel.current_trio_token(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def program() -> None:
        loops.append(asyncio.get_running_loop())
        async with (
            asyncio.timeout(60),
            open_asyncio_participant(url, service, keys=MemoryKeys(), tracing=out.tracing, namespace=namespace),
        ):
            token.run_sync_soon(ready.set)
            await stop.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.to_thread.run_sync, lambda: asyncio.run(program())))
        await ready.wait()
        try:
            yield
        finally:
            loops[0].call_soon_threadsafe(stop.set)


async def test_commands_have_spans_below_those_of_their_attempts(server: Server, namespace: str) -> None:
    worker, there = Exported(), Exported()
    async with (
        open_runtime(server.url, sagas=[Buy()], namespace=namespace, tracing=worker.tracing) as runtime,
        open_participant(server.url, payments(Books()), keys=MemoryKeys(), namespace=namespace, tracing=there.tracing),
        in_asyncio(server.url, shipping(there.tracer), there, namespace),
    ):
        with trio.fail_after(60):
            await runtime.execute(Buy, "1", Order(200))
    assert parent_id(there.only("payments.charge")) == span_id(worker.only("charge"))
    assert parent_id(there.only("payments.refund")) == span_id(worker.only("undo charge"))
    refused = there.only("shipping.ship")
    assert parent_id(refused) == span_id(worker.only("ship"))
    assert parent_id(there.only("weigh")) == span_id(refused)
    assert (refused.attributes or {})["sagakit.answer"] == "rejected"
    assert (refused.status.is_ok, refused.status.description) == (False, "too_heavy")
    assert refused.kind is trace.SpanKind.SERVER
    assert len(traces_of([*worker.spans, *there.spans])) == 1
