"""A worker is killed with `kill -9` while another service has its command: nobody calls again, nothing is in doubt."""

from __future__ import annotations

import signal
from pathlib import Path

import trio
from sagakit import open_client, open_runtime
from sagakit.participant import CommandContext, MemoryKeys, Service, open_participant

from tests.cli.processes import worker
from tests.looks import record_of, settled
from tests.participant.shop import Buy, Order, Receipt, shipping
from tests.servers import Server

WITHIN = 120


class Payments:
    """The service that charges; it answers once it is allowed to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.called = trio.Event()
        self.may_answer = trio.Event()

    def service(self) -> Service:
        service = Service("payments")

        @service.endpoint("charge")
        async def charge(order: Order, ctx: CommandContext) -> Receipt:
            self.calls.append((ctx.key, ctx.attempt))
            self.called.set()
            await self.may_answer.wait()
            return Receipt("r7")

        @charge.undo("refund")
        async def refund(order: Order, receipt: Receipt, ctx: CommandContext) -> None:
            raise AssertionError("nothing fails here")

        return service


async def test_a_worker_that_is_killed_while_its_command_is_out_leaves_nothing_in_doubt(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    payments = Payments()
    given = ["--nats", server.url, "--namespace", namespace]
    with trio.fail_after(WITHIN):
        with worker(tmp_path / "one", "tests.participant.shop:sagas", *given, SAGAKIT_LEASE_TTL="3") as mortal:
            await mortal.said("is up")
            async with (
                open_client(server.url, namespace=namespace) as client,
                open_participant(server.url, payments.service(), keys=MemoryKeys(), namespace=namespace),
                open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
            ):
                await client.start(Buy, "1", Order(30))
                await payments.called.wait()
                mortal.signal(signal.SIGKILL)
                assert await mortal.ended() == -signal.SIGKILL
                async with open_runtime(server.url, sagas=[Buy()], namespace=namespace, lease_ttl=3.0) as runtime:
                    handle = await runtime.get(Buy, "1")
                    while (await record_of(handle)).epoch < 2:  # noqa: ASYNC110  # another actor adopts it
                        await trio.sleep(0.05)
                    payments.may_answer.set()
                    record = await settled(handle)
    charge = record.steps["charge"]
    assert (record.status, record.epoch, record.recoveries) == ("completed", 2, 0)
    assert (charge.attempt, charge.check_attempt, charge.unsure) == (1, 0, False)
    assert len(payments.calls) == 1
