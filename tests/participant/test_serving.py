"""Remote steps over a real server: a worker here, participants beside it."""

from __future__ import annotations

import trio
from sagakit import Completed, Failed, open_runtime
from sagakit.participant import MemoryKeys, open_participant

from tests.participant.shop import Books, Buy, Order, payments, shipping
from tests.servers import Server


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
