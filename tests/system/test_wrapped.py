"""A coroutine function in a plain wrapper is awaited where that is possible, and refused elsewhere."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import timedelta
from types import new_class
from typing import Any, get_args

import pytest
import sagakit.asyncio
import trio
import trio.testing
from sagakit import (
    Completed,
    Context,
    DefinitionError,
    Done,
    Failed,
    NotDone,
    OldSaga,
    Reject,
    RetryPolicy,
    Saga,
    child,
    each,
    open_runtime,
    remote,
    step,
    timer,
)
from sagakit.binding.questions import _PREPARED
from sagakit.definition import compiled
from sagakit.definition.plan import Kind
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.system.members import member

Clock = trio.testing.MockClock
Q = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


def logged(fn: Callable[..., Any]) -> Any:
    """Wrap a function as many programs do; the wrapper is not a coroutine function."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


class Steps:
    """A saga with every function wrapped. The action's first answer is lost, so that the check is asked."""

    def __init__(self, sleep: Callable[[float], Any], *, refuse: bool) -> None:
        self.sleep = sleep
        self.refuse = refuse
        self.done: list[str] = []

    @step(on_unknown="check", retry=Q)
    @logged
    async def charge(self, number: int, ctx: Context) -> str:
        await self.sleep(0)
        self.done.append("charge")
        raise OSError("the answer is lost")

    @charge.check
    @logged
    async def charged(self, number: int, ctx: Context) -> Done[str] | NotDone | None:
        await self.sleep(0)
        self.done.append("charged")
        return Done("ref")

    @charge.compensate(retry=Q)
    @logged
    async def refund(self, number: int, ref: str, ctx: Context) -> None:
        await self.sleep(0)
        self.done.append(f"refund {ref}")

    @step(charge, retry=Q, compensate=None)
    @logged
    async def ship(self, number: int, ref: str, ctx: Context) -> None:
        await self.sleep(0)
        if self.refuse:
            raise Reject("no")

    @each(charge, lambda ref: [1, 2], retry=Q, compensate=None)
    @logged
    async def label(self, number: int, item: int, ctx: Context) -> int:
        await self.sleep(0)
        return item

    def output(self, input: int, ctx: Context) -> str:
        return f"{ctx.result(Steps.charge)} {ctx.result(Steps.label)}"


class Wrapped(Steps, Saga[int, str]):
    pass


class OnAsyncio(Steps, Saga[int, str], backend="asyncio"):
    pass


@pytest.mark.parametrize(("kind", "sleep"), [(Wrapped, trio.sleep), (OnAsyncio, asyncio.sleep)])
async def test_a_wrapped_coroutine_function_is_awaited(kind: Any, sleep: Any) -> None:
    for refuse in (False, True):
        saga = kind(sleep, refuse=refuse)
        async with open_runtime("memory:", sagas=[saga]) as runtime:
            with trio.fail_after(60):
                outcome = await runtime.execute(kind, "1", 1)
        if refuse:
            assert isinstance(outcome, Failed)
            assert outcome.code == "no", outcome
            assert saga.done == ["charge", "charged", "refund ref"]
        else:
            assert outcome == Completed("ref [1, 2]")


def test_a_wrapped_coroutine_function_is_awaited_on_the_programs_loop() -> None:
    async def main() -> None:
        saga = OnAsyncio(asyncio.sleep, refuse=False)
        async with sagakit.asyncio.open_runtime("memory:", sagas=[saga]) as sagas:
            assert await sagas.execute(OnAsyncio, "1", 1) == Completed("ref [1, 2]")

    asyncio.run(main())


async def later(*args: Any) -> Any:
    """Return True; a coroutine function in a place that awaits nothing."""
    return True


class Part(Saga[int]):
    @step(compensate=None)
    async def only(self, number: int, ctx: Context) -> None: ...


ASKED: dict[str, Callable[[Any], Any]] = {
    "when": lambda fn: step(compensate=None, when=fn),
    "each": lambda fn: each(Part.only, fn, compensate=None),
    "timer": lambda fn: timer(fn),
    "child": lambda fn: child(Part, fn),
    "remote": lambda fn: remote("a.b", str, send=fn, compensate=None),
}


def test_each_kind_of_node_that_asks_a_function_has_a_name_for_what_it_computes() -> None:
    assert set(_PREPARED) == set(get_args(Kind)) - {"step", "signal"}
    assert set(ASKED) == {"when", *_PREPARED}


@pytest.mark.parametrize("wrap", [logged, functools.cache, lambda fn: functools.partial(logged(fn))])
@pytest.mark.parametrize("kind", list(ASKED))
def test_a_wrapped_coroutine_function_is_refused_as_a_question(kind: str, wrap: Any) -> None:
    fn = wrap(later)

    async def action(self: Any, number: int, ctx: Context) -> None: ...

    async def of_item(self: Any, number: int, item: int, ctx: Context) -> None: ...

    async def first(self: Any, number: int, ctx: Context) -> int:
        return 1

    source = step(compensate=None)(first)
    made: Any = each(source, fn, compensate=None)(of_item) if kind == "each" else ASKED[kind](fn)
    node = made(action) if kind == "when" else made
    with pytest.raises(DefinitionError, match="is a coroutine function, and nobody awaits it"):
        new_class("Asks", (Saga[int],), {}, lambda body: body.update(source=source, node=node))


@pytest.mark.parametrize("name", ["output", "migrate"])
def test_a_wrapped_coroutine_function_is_refused_as_output_and_migrate(name: str) -> None:
    async def output(self: Any, input: int, ctx: Context) -> str:
        return ""

    async def migrate(self: Any, old: OldSaga) -> None: ...

    own: dict[str, Any] = {"output": output, "migrate": migrate}
    body = {"only": step(compensate=None)(_only), name: logged(own[name])}
    with pytest.raises(DefinitionError, match=f"{name}: is a coroutine function, and nobody awaits it"):
        new_class("Asks", (Saga[int, str] if name == "output" else Saga[int],), {}, lambda into: into.update(body))


async def _only(self: Any, number: int, ctx: Context) -> None: ...


def test_a_cached_coroutine_function_is_refused() -> None:
    with pytest.raises(DefinitionError, match="whose answer is cached, and a coroutine is awaited once"):

        class Cached(Saga[int]):
            @step(compensate=None)
            @functools.cache  # noqa: B019  # the mistake under test
            async def only(self, number: int, ctx: Context) -> None: ...


def hidden(*args: Any) -> Any:
    """Return a coroutine, although nothing in the signature says so."""
    return later()


class Hidden(Saga[int, str]):
    """A saga in which one function returns a coroutine, which no check can see before the call."""

    first = timer(lambda number, ctx: hidden() if number == 1 else timedelta(0))
    part = child(Part, lambda number, ctx: hidden() if number == 2 else number)

    @step(after=[first], compensate=None)
    async def items(self, number: int, ctx: Context) -> int:
        return number

    @each(items, lambda number: hidden() if number == 3 else [], compensate=None)
    async def label(self, number: int, item: int, ctx: Context) -> None: ...

    @step(after=[label], compensate=None, when=lambda number, ctx: hidden() if number == 4 else True)
    async def last(self, number: int, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> str:
        return hidden() if input == 5 else "done"


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
async def test_a_question_that_returns_a_coroutine_is_reported(number: int, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Hidden(), Part()) as worker:
        with trio.fail_after(1000):
            record = await settled(await worker.runtime.start(Hidden, "1", number))
    told = [record.stuck, record.failure and record.failure.reason, *(log.error for log in record.steps.values())]
    assert any("it returned a coroutine or a generator, which nobody runs" in (one or "") for one in told), told


def test_a_definition_error_says_where_a_coroutine_is_awaited() -> None:
    assert compiled(OnAsyncio).needs_asyncio
    assert not compiled(Wrapped).needs_asyncio
