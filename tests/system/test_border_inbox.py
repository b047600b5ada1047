"""A message in the inbox is checked like an argument of a caller."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Context, Saga, UnknownSaga, signal, step
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.looks import record_of
from tests.system.members import Member, member

Clock = trio.testing.MockClock


class Go(Saga[None]):
    go = signal(str)

    @step(go, compensate=None)
    async def end(self, input: None, go: str, ctx: Context) -> None: ...


async def sent(running: Member, saga_id: str, message_id: str, request: InboxRequest) -> None:
    await running.worker.requests.send(SagaKey("Go", saga_id), message_id, request)
    await trio.sleep(60)


@pytest.mark.parametrize("given", [{"attributes": {"x": "x" * 17_000}}, {"correlation_id": "c" * 513}])
async def test_a_start_that_no_record_can_hold_is_a_dead_letter(
    given: dict[str, Any], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(MemoryServer(), Go()) as running:
        await sent(running, "1", "m1", InboxRequest(kind="start", **given))
        assert "message m1 is a dead letter" in caplog.text
        with pytest.raises(UnknownSaga):
            await running.runtime.load(Go, "1")


async def test_a_message_with_an_id_that_is_too_long_is_a_dead_letter(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(MemoryServer(), Go()) as running:
        handle = await running.runtime.start(Go, "1", None)
        await sent(running, "1", "m" * 1_025, InboxRequest(kind="terminate", reason="enough"))
        assert "is a dead letter" in caplog.text
        assert (await record_of(handle)).status == "running"
        await sent(running, "1", "m", InboxRequest(kind="terminate", reason="enough"))
        assert (await running.runtime.load(Go, "1")).status == "failed"


@pytest.mark.parametrize("saga_id", ["", " "])
@pytest.mark.parametrize("request_", [InboxRequest(kind="start"), InboxRequest(kind="terminate", reason="enough")])
async def test_a_message_to_a_blank_id_is_a_dead_letter(
    saga_id: str, request_: InboxRequest, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with member(server, Go()) as running:
        await running.worker.requests.send(SagaKey("Go", saga_id), "m1", request_)
        await trio.sleep(1)
        assert (await running.runtime.list()).items == []
    assert [letter.reason.partition(":")[0] for letter in server.dead] == [f"the saga id {saga_id!r} is blank"]
    assert "message m1 is a dead letter" in caplog.text
