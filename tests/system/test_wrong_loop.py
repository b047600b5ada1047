"""A call into an event loop that does not run: the saga's reason and the log name the backend to use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any

import pytest
import trio
from sagakit import (
    Completed,
    Context,
    Done,
    Failed,
    NotDone,
    Reject,
    RetryPolicy,
    Saga,
    child,
    each,
    open_runtime,
    step,
    timer,
)
from sagakit.binding.classify import classify
from sagakit.definition import Function
from sagakit.engine import Error

from tests.looks import settled

ONCE = RetryPolicy(max_attempts=1)


async def future() -> None:
    await asyncio.get_running_loop().create_future()


async def asyncio_timeout() -> None:
    async with asyncio.timeout(1):  # noqa: ASYNC100  # entering it is the mistake
        pass


async def task_group() -> None:
    async with asyncio.TaskGroup():
        pass


async def nursery() -> None:
    async with trio.open_nursery():
        pass


OF_ASYNCIO: dict[str, Callable[[], Awaitable[Any]]] = {
    "sleep": lambda: asyncio.sleep(1),
    "yield": lambda: asyncio.sleep(0),
    "future": future,
    "timeout": asyncio_timeout,
    "group": task_group,
    "to_thread": lambda: asyncio.to_thread(int),
}
OF_TRIO: dict[str, Callable[[], Awaitable[Any]]] = {
    "sleep": partial(trio.sleep, 1),
    "yield": partial(trio.sleep, 0),
    "event": lambda: trio.Event().wait(),
    "thread": partial(trio.to_thread.run_sync, int),
    "connection": partial(trio.open_tcp_stream, "127.0.0.1", 1),
}


class UnderTrio(Saga[str, None]):
    @step(compensate=None, retry=ONCE)
    async def call(self, name: str, ctx: Context) -> None:
        await OF_ASYNCIO[name]()


class UnderAsyncio(Saga[str, None], backend="asyncio"):
    @step(compensate=None, retry=ONCE)
    async def call(self, name: str, ctx: Context) -> None:
        await OF_TRIO[name]()


class AlsoAsyncio(Saga[str, None], backend="asyncio"):
    """A saga with an asyncio step, which makes the runtime start an asyncio loop with other error texts."""

    @step(compensate=None)
    async def call(self, name: str, ctx: Context) -> None:
        await asyncio.sleep(0)


class InThread(Saga[str, None]):
    @step(compensate=None, retry=ONCE)
    def call(self, name: str, ctx: Context) -> None:
        if name == "asyncio":
            asyncio.get_running_loop()
        elif name == "get_event_loop":
            asyncio.get_event_loop()
        else:
            trio.current_time()


async def reason_of(saga: Saga[Any, Any], input: object, *others: Saga[Any, Any]) -> str:
    async with open_runtime("memory:", sagas=[saga, *others]) as runtime:
        with trio.fail_after(60):
            outcome = await runtime.execute(type(saga), "one", input)
    assert isinstance(outcome, Failed), outcome
    return outcome.reason or outcome.code or ""


@pytest.mark.parametrize("others", [(), (AlsoAsyncio(),)], ids=["alone", "beside asyncio"])
@pytest.mark.parametrize("name", OF_ASYNCIO)
async def test_asyncio_in_a_step_under_trio_names_the_backend(
    name: str, others: Sequence[Saga[Any, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    reason = await reason_of(UnderTrio(), name, *others)
    assert 'asyncio is called in a function that runs under trio: say @step(backend="asyncio")' in reason
    assert 'say @step(backend="asyncio")' in caplog.text


@pytest.mark.parametrize("name", OF_TRIO)
async def test_trio_in_a_step_under_asyncio_names_the_backend(name: str, caplog: pytest.LogCaptureFixture) -> None:
    reason = await reason_of(UnderAsyncio(), name)
    assert 'trio is called in a function that runs under asyncio: say @step(backend="trio")' in reason
    assert 'say @step(backend="trio")' in caplog.text


@pytest.mark.parametrize(("name", "backend"), [("asyncio", "asyncio"), ("get_event_loop", "asyncio"), ("trio", "trio")])
async def test_either_loop_in_a_step_that_runs_in_a_thread_names_the_backend(name: str, backend: str) -> None:
    reason = await reason_of(InThread(), name)
    assert f'no {backend} loop runs here: make the function `async def`, with backend="{backend}"' in reason


def test_either_loop_in_an_asyncio_program_names_the_backend() -> None:
    """Trio runs in another thread there, and its errors have other texts."""

    async def raised() -> BaseException:
        try:
            await nursery()
        except BaseException as error:  # `classify` gets every exception
            return error
        raise AssertionError

    result = classify(Function(nursery, "asyncio", ONCE, backend="asyncio"), asyncio.run(raised()))
    assert isinstance(result, Error)
    assert 'say @step(backend="trio")' in result.error


async def test_an_error_within_a_group_names_the_backend() -> None:
    class Groups(Saga[None, None]):
        @step(compensate=None, retry=ONCE)
        async def call(self, input: None, ctx: Context) -> None:
            async with trio.open_nursery() as both:
                both.start_soon(asyncio.sleep, 1)
                both.start_soon(trio.Event().set)  # type: ignore[arg-type]  # a mistake of another kind

    assert 'say @step(backend="asyncio")' in await reason_of(Groups(), None)


def plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fn)
    def called(*args: Any) -> Any:
        return fn(*args)

    return called


async def test_a_coroutine_function_in_a_plain_wrapper_names_the_backend() -> None:
    class Wrapped(Saga[None, None]):
        @step(compensate=None, retry=ONCE)
        @plain
        async def call(self, input: None, ctx: Context) -> None:
            await asyncio.sleep(1)

    assert 'with backend="asyncio"' in await reason_of(Wrapped(), None)


# ------------------------------------------------------------------ other doors


class Undoes(Saga[None, None]):
    @step(retry=ONCE)
    async def reserve(self, input: None, ctx: Context) -> None: ...

    @reserve.compensate(retry=ONCE)
    async def release(self, input: None, reserved: None, ctx: Context) -> None:
        await asyncio.sleep(1)

    @step(compensate=None)
    async def refuse(self, input: None, ctx: Context) -> None:
        raise Reject("no")


class Checks(Saga[None, None]):
    @step(on_unknown="check", compensate=None, retry=ONCE)
    async def pay(self, input: None, ctx: Context) -> int:
        raise OSError

    @pay.check
    async def paid(self, input: None, ctx: Context) -> Done[int] | NotDone | None:
        await asyncio.sleep(1)
        return None


class Items(Saga[None, None]):
    @each(lambda input, ctx: [1, 2], compensate=None, retry=ONCE)
    async def one(self, input: None, item: int, ctx: Context) -> None:
        await asyncio.sleep(1)


def running_loop(*_: object) -> Any:
    return asyncio.get_running_loop()


class Decides(Saga[None, None]):
    @step(compensate=None, when=running_loop)
    async def work(self, input: None, ctx: Context) -> None: ...


class Lists(Saga[None, None]):
    @each(running_loop, compensate=None)
    async def one(self, input: None, item: int, ctx: Context) -> None: ...


class Waits(Saga[None, None]):
    wait = timer(running_loop)


class Starts(Saga[None, None]):
    kid = child(UnderTrio, running_loop)


class Computes(Saga[None, int]):
    @step(compensate=None)
    async def work(self, input: None, ctx: Context) -> None: ...

    def output(self, input: None, ctx: Context) -> int:
        return int(running_loop())


@pytest.mark.parametrize("saga", [Items(), Decides(), Lists(), Waits(), Starts()], ids=lambda saga: type(saga).__name__)
async def test_a_failed_saga_names_the_backend(saga: Saga[None, None]) -> None:
    reason = await reason_of(saga, None, UnderTrio())
    if isinstance(saga, Items):
        assert 'say @step(backend="asyncio")' in reason
    else:
        assert "it is called in place, where nothing can be awaited: do that in a step" in reason


@pytest.mark.parametrize(
    ("saga", "says"),
    [
        (Undoes(), 'say @step(backend="asyncio")'),
        (Checks(), 'say @step(backend="asyncio")'),
        (Computes(), "it is called in place, where nothing can be awaited"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Saga) else "",
)
async def test_a_stuck_saga_names_the_backend(
    saga: Saga[None, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_runtime("memory:", sagas=[saga]) as runtime:
        handle = await runtime.start(type(saga), "one", None)
        with trio.fail_after(60):
            record = await settled(handle)
    assert record.stuck is not None
    assert says in record.stuck
    assert says in caplog.text


async def test_correct_calls_get_no_advice() -> None:
    class Works(Saga[None, None]):
        @step(compensate=None)
        async def call(self, input: None, ctx: Context) -> None:
            await trio.lowlevel.checkpoint()

        @step(compensate=None)
        def blocks(self, input: None, ctx: Context) -> None:
            trio.from_thread.run(trio.sleep, 0)

    async with open_runtime("memory:", sagas=[Works()]) as runtime:
        assert await runtime.execute(Works, "one", None) == Completed(None)
