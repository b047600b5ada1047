"""The runtime in asyncio programs. Each test is one such program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
from sagakit import Completed, Context, Failed, Saga, signal, step
from sagakit.errors import AlreadyStarted, CannotConnect, RuntimeClosed, TooLate
from sagakit.jetstream.ports import free_port

from tests.looks import record_of
from tests.sagas import QUICK, BookTrip, Trip
from tests.servers import Server


class OnHost(Saga[Trip, str], backend="asyncio"):
    """A saga with steps on the host's loop, which notes the threads that they ran in."""

    def __init__(self, hook: Callable[[], Awaitable[None]] | None = None) -> None:
        self.hook = hook
        self.threads: set[int] = set()
        self.cancelled = 0

    @step(retry=QUICK, timeout=timedelta(seconds=0.2))
    async def work(self, trip: Trip, ctx: Context) -> str:
        self.threads.add(threading.get_ident())
        try:
            if self.hook is not None:
                await self.hook()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return trip.city

    @work.compensate
    async def undo(self, trip: Trip, city: str | None, ctx: Context) -> None:
        self.threads.add(threading.get_ident())

    @step(compensate=None)
    def plain(self, trip: Trip, ctx: Context) -> str:
        assert threading.get_ident() not in self.threads
        return trip.city.upper()

    @step(compensate=None, backend="trio")
    async def native(self, trip: Trip, ctx: Context) -> str:
        assert threading.get_ident() not in self.threads
        return "trio"

    def output(self, input: Trip, ctx: Context) -> str:
        return ctx.result(OnHost.plain)


def program(main: Callable[[], Awaitable[Any]]) -> None:
    """Run an asyncio program, and check that it leaves no thread and no loop behind."""
    before = threading.active_count()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())
    assert threading.active_count() <= before + 2, "threads were left behind"
    assert "sagakit" not in {thread.name for thread in threading.enumerate()}


def test_everything_is_awaitable() -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip(), saga := OnHost()]) as runtime:
            handle = await runtime.start(BookTrip, "one", Trip(), correlation_id="c")
            assert await handle.outcome() == Completed("tickets-Rome")
            assert (await record_of(handle)).correlation_id == "c"
            assert await (await runtime.get(BookTrip, "one")).outcome() == Completed("tickets-Rome")
            assert (await runtime.load(BookTrip, "one")).status == "completed"
            failed = await runtime.execute(BookTrip, "two", Trip(refuse="flight"))
            assert isinstance(failed, Failed)
            assert failed.compensated == ("hotel",)
            assert await runtime.execute(OnHost, None, Trip()) == Completed("ROME")
            assert saga.threads == {threading.get_ident()}
            with pytest.raises(AlreadyStarted):
                await runtime.start(BookTrip, "one", Trip("Oslo"))
            with pytest.raises(TooLate):
                await handle.cancel()
            while await runtime.list_active():  # noqa: ASYNC110  # what is waited for sets no event
                await asyncio.sleep(0.01)
            assert [info.saga_id for info in (await runtime.list(status="failed")).items] == ["two"]
            await runtime.delete(BookTrip, "one")
            await runtime.scan()
            assert runtime.worker_id
            assert runtime.config.namespace == ""

    program(main)


def test_a_step_on_the_hosts_loop_is_cancelled_by_its_timeout() -> None:
    async def main() -> None:
        saga = OnHost(lambda: asyncio.sleep(1000))
        async with sagakit.asyncio.open_runtime("memory:", sagas=[saga]) as runtime:
            outcome = await runtime.execute(OnHost, None, Trip())
        assert isinstance(outcome, Failed)
        assert outcome.cause == "exhausted"
        assert saga.cancelled == QUICK.max_attempts

    program(main)


def test_a_cancelled_wait_leaves_the_saga_alone() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        async with sagakit.asyncio.open_runtime("memory:", sagas=[OnHost(wait)]) as runtime:
            handle = await runtime.start(OnHost, "one", Trip())
            waiting = asyncio.create_task(handle.outcome())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            gate.set()
            assert await handle.outcome() == Completed("ROME")

    program(main)


def test_errors_of_opening_are_raised_here() -> None:
    async def main() -> None:
        url = f"nats://127.0.0.1:{free_port()}"
        with pytest.raises(CannotConnect, match="no NATS server answered"):
            async with sagakit.asyncio.open_runtime(url, sagas=[BookTrip()], connect_timeout=0.3):
                raise AssertionError("it opened")

    program(main)


def test_cancelled_while_opening_it_leaves_nothing_behind() -> None:
    async def main() -> None:
        async def opening() -> None:
            url = f"nats://127.0.0.1:{free_port()}"
            async with sagakit.asyncio.open_runtime(url, sagas=[BookTrip()], connect_timeout=100.0):
                raise AssertionError("it opened")

        task = asyncio.create_task(opening())
        await asyncio.sleep(0)
        assert "sagakit" in {thread.name for thread in threading.enumerate()}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    program(main)


def test_an_error_in_the_body_is_raised_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]):
                raise ZeroDivisionError

    program(main)


def test_a_closed_runtime_says_so() -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            handle = await runtime.start(BookTrip, "one", Trip())
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: runtime.start(BookTrip, "two", Trip()),
            lambda: runtime.get(BookTrip, "one"),
            lambda: runtime.list(),
            lambda: runtime.scan(),
            handle.outcome,
            handle.cancel,
        ]
        for call in calls:
            with pytest.raises(RuntimeClosed, match="the runtime has closed: its context was left"):
                await call()

    program(main)


def test_two_runtimes_on_a_real_server_pass_requests_on(server: Server, namespace: str) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        class Slow(Saga[Trip], backend="asyncio"):
            @step(compensate=None, timeout=timedelta(seconds=60))
            async def work(self, trip: Trip, ctx: Context) -> None:
                await wait()

        options: dict[str, Any] = {"namespace": namespace}
        async with (
            sagakit.asyncio.open_runtime(server.url, sagas=[Slow()], **options) as one,
            sagakit.asyncio.open_runtime(server.url, sagas=[Slow()], **options) as other,
        ):
            await one.start(Slow, "x", Trip())
            handle = await other.get(Slow, "x")
            await handle.cancel("from the other")
            gate.set()
            outcome = await handle.outcome()
            assert isinstance(outcome, Failed)
            assert outcome.reason == "from the other"

    program(main)


class Wait(Saga[str, int]):
    """A saga whose signal comes from the host."""

    number = signal(int)

    @step(number, compensate=None)
    async def double(self, input: str, number: int, ctx: Context) -> int:
        return 2 * number

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Wait.double)


@pytest.mark.parametrize("where", ["memory:", "server"])
def test_signals_listings_and_histories_from_the_host(where: str, server: Server, namespace: str) -> None:
    async def main() -> None:
        url = server.url if where == "server" else where
        async with sagakit.asyncio.open_runtime(url, sagas=[Wait()], namespace=namespace) as runtime:
            handle = await runtime.start(Wait, "one", "x", attributes={"tenant": "a"})
            assert [info.saga_id for info in (await runtime.list(attributes={"tenant": "a"})).items] == ["one"]
            await runtime.signal(Wait, "one", Wait.number, 21, reason="they called", by="ann")
            assert await handle.outcome() == Completed(42)
            history = await runtime.history(Wait, "one")
            assert history.record.status == "completed"
            assert [event.sequence for event in history.events] == list(range(1, len(history.events) + 1))
            assert history.events[0].type == "saga.Wait.started"
            (act,) = (event.data for event in history.events if event.type == "saga.Wait.operator.signal")
            assert (act["by"], act["reason"]) == ("ann", "they called")
            await runtime.scan()
            assert await runtime.list_active() in ([], [handle.key])

    program(main)


def test_a_task_that_was_started_before_the_runtime_may_use_all_of_it(server: Server, namespace: str) -> None:
    """The handlers of a server may be such tasks: their context knows nothing of the runtime's loop."""

    async def main() -> None:
        send, receive = trio.open_memory_channel[sagakit.Runtime](0)
        used = trio.Event()

        async def early() -> None:
            runtime = await receive.receive()
            assert not (await runtime.list()).items
            await runtime.scan()
            used.set()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(early)
                async with sagakit.open_runtime(server.url, sagas=[Wait()], namespace=namespace) as runtime:
                    await send.send(runtime)
                    await used.wait()

    trio.run(main)


def test_calls_while_the_runtime_closes_are_answered() -> None:
    async def main() -> None:
        for _ in range(5):
            over = asyncio.Event()
            ends: set[str] = set()

            async def caller(runtime: sagakit.RuntimeApi, over: asyncio.Event, ends: set[str]) -> None:
                while not over.is_set():
                    try:
                        await runtime.load(Wait, "one")
                    except RuntimeClosed:
                        ends.add("closed")
                        await asyncio.sleep(0)

            async with sagakit.asyncio.open_runtime("memory:", sagas=[Wait()], drain_timeout=0) as runtime:
                await runtime.start(Wait, "one", "x")
                tasks = [asyncio.create_task(caller(runtime, over, ends)) for _ in range(20)]
                await asyncio.sleep(0.02)
            over.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 60)

    program(main)


class Exits(Saga[str, str], backend="asyncio"):
    """A saga with a step that raises an error that would end a loop, once."""

    def __init__(self, error: BaseException) -> None:
        self.errors = [error]

    @step(retry=QUICK, compensate=None)
    async def work(self, input: str, ctx: Context) -> str:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop()
        return "done"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Exits.work)


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), Odd()], ids=repr)
@pytest.mark.parametrize("host", [True, False], ids=["host", "own loop"])
def test_what_would_end_a_loop_ends_an_attempt(error: BaseException, host: bool) -> None:
    async def on_host() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[Exits(error)]) as runtime:
            assert await runtime.execute(Exits, "one", "x") == Completed("done")

    async def on_own_loop() -> None:
        with trio.fail_after(60):
            async with sagakit.open_runtime("memory:", sagas=[Exits(error)]) as runtime:
                assert await runtime.execute(Exits, "one", "x") == Completed("done")

    if host:
        program(on_host)
    else:
        trio.run(on_own_loop)
