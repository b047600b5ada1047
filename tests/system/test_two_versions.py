"""Two versions of a saga in one worker: the version that a start takes, and the classes that can read an outcome."""

from __future__ import annotations

import msgspec
import pytest
import trio.testing
from sagakit import Completed, Context, NotAllowed, Saga, child, open_runtime, step
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.system.members import member

Clock = trio.testing.MockClock


class Plain(Saga[int], name="Order", version=1):
    @step(compensate=None)
    async def note(self, n: int, ctx: Context) -> None: ...


class Counted(Saga[int, int], name="Order", version=2):
    @step(compensate=None)
    async def note(self, n: int, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> int:
        return input


class Told(Saga[int, str], name="Order", version=3):
    @step(compensate=None)
    async def note(self, n: int, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> str:
        return str(input)


class Parent(Saga[int]):
    order = child(Told, lambda n, ctx: n)


async def test_an_outcome_is_read_by_the_class_of_its_version_or_by_one_that_fits(autojump_clock: Clock) -> None:
    async with open_runtime("memory:", sagas=[Plain(), Counted(), Told()]) as runtime:
        assert await runtime.execute(Plain, "plain", 1) == Completed(None)
        assert await runtime.execute(Counted, "counted", 1) == Completed(1)
        with pytest.raises(NotAllowed, match=r"ended under version 2, .* not of version 3's type, str"):
            await runtime.execute(Told, "counted", 1)
        with pytest.raises(NotAllowed, match=r"ended under version 1, .* not of version 3's type, str: there is none"):
            await (await runtime.get(Told, "plain")).outcome()
        with pytest.raises(NotAllowed, match=r"under version 2, .* class of version 2"):
            await (await runtime.get(Plain, "counted")).outcome()


async def test_a_start_takes_the_version_of_its_class_and_the_inbox_and_children_take_the_highest(
    autojump_clock: Clock,
) -> None:
    async with member(MemoryServer(), Plain(), Told(), Parent()) as running:
        runtime = running.runtime
        await runtime.start(Plain, "direct", 1)
        request = InboxRequest(kind="start", input=msgspec.Raw(b"1"))
        await running.worker.requests.send(SagaKey("Order", "inbox"), new_id(), request)
        parent = await runtime.start(Parent, "parent", 1)
        await parent.outcome()
        await running.retired()
        ended = (await runtime.list(status="completed", type=Told)).items
    found = {info.saga_id.partition("/")[0]: info.version for info in ended}
    assert found == {"direct": 1, "inbox": 3, "parent": 3}
