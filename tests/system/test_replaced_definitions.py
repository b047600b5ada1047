"""A plan or schema that changed under the same version replaces the old one once no saga needs the old one."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import Completed, Context, Saga, open_runtime, signal, step
from sagakit.binding.registry import Registry
from sagakit.cluster.kept_definitions import confirm_definitions
from sagakit.errors import PlanChanged, SchemaChanged
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names

from tests.servers import Server
from tests.system.members import killable, member
from tests.system.typed_orders import NEW, order

Clock = trio.testing.MockClock


def before() -> type[Saga[str, str]]:
    class Job(Saga[str, str]):
        go = signal(str, after=[])

        @step(go, compensate=None)
        async def work(self, input: str, go: str, ctx: Context) -> str:
            return go

        def output(self, input: str, ctx: Context) -> str:
            return input

    return Job


def after() -> type[Saga[str, str]]:
    class Job(Saga[str, str]):
        @step(compensate=None)
        async def renamed(self, input: str, ctx: Context) -> str:
            return input

        def output(self, input: str, ctx: Context) -> str:
            return input

    return Job


def kept(server: MemoryServer, prefix: str) -> list[str]:
    return [entry.key for entry in server.bucket("SAGA_META").entries(prefix)]


async def opens(server: MemoryServer, saga: Saga[Any, Any]) -> None:
    async with member(server, saga):
        pass


async def test_a_changed_plan_is_accepted_when_its_sagas_have_ended(autojump_clock: Clock) -> None:
    server, old, new = MemoryServer(), before(), after()
    async with member(server, old()) as running:
        await running.runtime.start(old, "one", "x")
        await running.runtime.signal(old, "one", old.go, "on")  # type: ignore[attr-defined]
        await (await running.runtime.get(old, "one")).outcome()
        await running.retired()
    for cls in (new, old, new):
        async with member(server, cls()) as running:
            if cls is new:
                assert await running.runtime.execute(cls, None, "y") == Completed("y")
                await running.retired()
        assert (len(kept(server, "plan")), len(kept(server, "schema"))) == (1, 1)


async def test_a_changed_schema_is_accepted_when_no_saga_needs_the_old_one(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await opens(server, order())
    await opens(server, order({"step": [NEW]}))
    assert len(kept(server, "schema.Order")) == 1


async def test_a_plan_with_an_unfinished_saga_is_not_replaced(autojump_clock: Clock) -> None:
    server, old = MemoryServer(), before()
    async with member(server, old()) as running:
        await running.runtime.start(old, "one", "x")
    plans = kept(server, "")
    with pytest.raises(
        PlanChanged, match=r"cannot be replaced: the saga Job\.one is unfinished\. For a trial .*memory:"
    ):
        await opens(server, after()())
    assert kept(server, "") == plans


async def test_a_plan_with_a_waiting_start_is_not_replaced(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await opens(server, before()())
    async with open_memory(server, names=Names()) as store:
        payload = msgspec.json.encode(InboxRequest(kind="start", input=msgspec.Raw(b'"x"')))
        await store.inbox.send("client", id="s1", saga_type="Job", saga_id="one", payload=payload)
    with pytest.raises(PlanChanged, match="cannot be replaced: a start of Job waits in the inbox"):
        await opens(server, after()())


async def test_the_plan_of_a_killed_worker_is_replaced_once_its_lease_is_not_renewed(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        running = await start(server, before()())
        with pytest.raises(PlanChanged, match=f"the worker {running.runtime.worker_id} runs it"):
            await opens(server, after()())
        running.kill()
        await opens(server, after()())
    assert len(kept(server, "plan.Job")) == 1


async def test_a_worker_whose_plan_was_replaced_before_its_lease_was_seen_does_not_run(autojump_clock: Clock) -> None:
    server, old = MemoryServer(), before()
    await opens(server, old())
    async with open_memory(server, names=Names()) as store, member(server, after()()):
        with pytest.raises(PlanChanged):
            await confirm_definitions(store, Registry([old()]))


async def test_a_changed_plan_is_accepted_on_a_real_server(server: Server, namespace: str) -> None:
    old, new = before(), after()
    async with open_runtime(server.url, sagas=[old()], namespace=namespace) as runtime:
        await runtime.start(old, "one", "x")
        with pytest.raises((PlanChanged, SchemaChanged), match=r"cannot be replaced: the saga Job\.one is unfinished"):
            async with open_runtime(server.url, sagas=[new()], namespace=namespace):
                pass
        await (await runtime.get(old, "one")).terminate("enough")
        await (await runtime.get(old, "one")).outcome()
    for cls in (new, old, new):
        async with open_runtime(server.url, sagas=[cls()], namespace=namespace):
            pass
