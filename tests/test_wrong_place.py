"""Tests of calls from the wrong place and of arguments of the wrong kind: each message says what to do."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from unittest.mock import Mock

import pytest
import sagakit
import sagakit.asyncio
import trio
from sagakit import (
    Client,
    Context,
    DefinitionError,
    Handle,
    Runtime,
    Saga,
    Signal,
    child,
    each,
    remote,
    signal,
    step,
    timer,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.definition.plan import Kind
from sagakit.errors import CannotConnect, InvalidConfig, InvalidInput, WrongContext
from sagakit.jetstream import whereabouts
from sagakit.jetstream.whereabouts import Home
from sagakit.messages.channels import ALLOWED

from tests.sagas import BookTrip, Trip

OPENERS: dict[str, Callable[[], Any]] = {
    "trio": lambda: sagakit.open_runtime("memory:", sagas=[BookTrip()]),
    "asyncio": lambda: sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]),
}


CLIENT_OPENERS: dict[str, Callable[[], Any]] = {
    "trio": lambda: sagakit.open_client("nats://localhost"),
    "asyncio": lambda: sagakit.asyncio.open_client("nats://localhost"),
}
BOTH = [("runtime", OPENERS), ("client", CLIENT_OPENERS)]


async def opened(opener: Callable[[], Any]) -> None:
    async with opener():
        pass


# ------------------------------------------------------------------ the wrong flavor


@pytest.mark.parametrize(("thing", "openers"), BOTH)
def test_a_function_for_trio_under_asyncio_names_the_other_one(thing: str, openers: Mapping[str, Any]) -> None:
    with pytest.raises(WrongContext, match=rf"asyncio runs here: use sagakit\.asyncio\.open_{thing}$"):
        asyncio.run(opened(openers["trio"]))


@pytest.mark.parametrize(("thing", "openers"), BOTH)
def test_a_function_for_asyncio_under_trio_names_the_other_one(thing: str, openers: Mapping[str, Any]) -> None:
    with pytest.raises(WrongContext, match=rf"trio runs here: use sagakit\.open_{thing}$"):
        trio.run(opened, openers["asyncio"])


@pytest.mark.parametrize(("thing", "openers"), BOTH)
@pytest.mark.parametrize(("flavor", "says"), [("trio", r"trio\.run"), ("asyncio", r"asyncio\.run")])
def test_without_a_loop_each_flavor_says_how_to_call_it(
    thing: str, openers: Mapping[str, Any], flavor: str, says: str
) -> None:
    with pytest.raises(WrongContext, match=rf"open_{thing} .*{says}"):
        opened(openers[flavor]).send(None)


def test_run_under_an_event_loop_names_the_function_for_it() -> None:
    async def main() -> None:
        sagakit.run(BookTrip(), None, Trip(), url="memory:")

    with pytest.raises(WrongContext, match=r"trio runs here: use sagakit\.open_runtime"):
        trio.run(main)
    with pytest.raises(WrongContext, match=r"asyncio runs here: use sagakit\.asyncio\.open_runtime"):
        asyncio.run(main())


# ------------------------------------------------------------------ entered without `async with`


async def _awaited(opening: Any) -> None:
    await opening


async def _entered(opening: Any) -> None:
    with opening:
        raise AssertionError


async def _used(opening: Any) -> None:
    await opening.start(BookTrip, "one", Trip())


async def _entered_again(opening: Any) -> None:
    for _ in range(2):
        async with opening:
            pass


@pytest.mark.parametrize("use", [_awaited, _entered, _used])
@pytest.mark.parametrize(
    ("flavor", "name"), [("trio", r"sagakit\.open_runtime"), ("asyncio", r"sagakit\.asyncio\.open_runtime")]
)
async def test_a_runtime_that_was_not_opened_says_how_to_open_it(
    use: Callable[..., Any], flavor: str, name: str
) -> None:
    with pytest.raises((TypeError, AttributeError), match=rf"write `async with {name}\(\.\.\.\) as runtime:`"):
        await use(OPENERS[flavor]())


async def test_an_opening_is_entered_once() -> None:
    with pytest.raises(TypeError, match=r"sagakit\.open_runtime is entered once: write `async with"):
        await _entered_again(OPENERS["trio"]())


# ------------------------------------------------------------------ a name that another object has

ELSEWHERE = {
    "handle.signal": (
        Handle,
        "signal",
        "write `await runtime.signal(PlaceOrder, handle.id, ",
    ),
    "handle.status": (Handle, "status", "write `(await handle.describe()).status`"),
    "runtime.cancel": (Runtime, "cancel", "write `await (await runtime.get(PlaceOrder, id)).cancel(...)`"),
    "runtime.run": (AsyncioRuntime, "run", "write `await runtime.execute(PlaceOrder, id, order)`"),
    "client.retry": (Client, "retry", "write `await (await runtime.get(PlaceOrder, id)).retry(...)`"),
    "handle.nonsense": (Handle, "nonsense", "'Handle' object has no attribute 'nonsense'"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_another_object_has_is_told_where_it_is(name: str) -> None:
    kind: Any
    kind, attribute, says = ELSEWHERE[name]
    made = kind.__new__(kind)
    with pytest.raises(AttributeError, match=re.escape(says)):
        getattr(made, attribute)


@pytest.mark.parametrize("kind", [Runtime, AsyncioRuntime, Client])
def test_each_verb_of_a_handle_is_told_to_a_program_that_calls_it_on_a_runtime(kind: Any) -> None:
    for verb in (one.replace("-", "_") for one in ALLOWED["operator"] | {"cancel"}):
        if not hasattr(kind, verb):
            with pytest.raises(AttributeError, match=rf"runtime\.get\(PlaceOrder, id\)\)\.{verb}\("):
                getattr(kind.__new__(kind), verb)


# ------------------------------------------------------------------ another thread, loop or process


def calls(runtime: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
    return {
        "start": lambda: runtime.start(BookTrip, "two", Trip()),
        "get": lambda: runtime.get(BookTrip, "one"),
        "list": runtime.list,
        "list_active": runtime.list_active,
        "scan": runtime.scan,
        "drain": runtime.drain,
        "ended": lambda: runtime.ended("BookTrip.one"),
        "apply": lambda: runtime.apply("BookTrip.one", "cancel"),
        "delete": lambda: runtime.delete(BookTrip, "one"),
        "history": lambda: runtime.history(BookTrip, "one"),
    }


NAMES = calls(Mock()).keys()


def said(run: Callable[[Callable[[], Awaitable[Any]]], Any], runtime: Any) -> dict[str, str]:
    """Return the error text of each call."""
    found: dict[str, str] = {}
    for name, call in calls(runtime).items():
        try:
            run(call)
        except WrongContext as error:
            found[name] = str(error)
    return found


def in_thread(fn: Callable[[], None]) -> None:
    thread = threading.Thread(target=fn)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def _under_asyncio(call: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(call(), 60)

    return asyncio.run(main())


async def _bounded(call: Callable[[], Awaitable[Any]]) -> Any:
    with trio.fail_after(60):
        return await call()


@pytest.mark.parametrize("run", [_under_asyncio, lambda call: trio.run(_bounded, call)], ids=["asyncio", "trio"])
def test_a_trio_runtime_works_only_in_the_program_that_opened_it(run: Callable[..., Any]) -> None:
    found: dict[str, str] = {}

    async def main() -> None:
        async with sagakit.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            await runtime.start(BookTrip, "one", Trip())
            await trio.to_thread.run_sync(lambda: found.update(said(run, runtime)))

    trio.run(main)
    assert found.keys() == NAMES
    assert all("trio.from_thread.run" in text for text in found.values())


@pytest.mark.parametrize("run", [_under_asyncio, lambda call: trio.run(_bounded, call)], ids=["asyncio", "trio"])
def test_an_asyncio_runtime_works_only_on_the_loop_that_opened_it(run: Callable[..., Any]) -> None:
    found: dict[str, str] = {}

    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            await runtime.start(BookTrip, "one", Trip())
            await asyncio.to_thread(lambda: found.update(said(run, runtime)))

    asyncio.run(main())
    assert found.keys() == NAMES
    assert all("asyncio.run_coroutine_threadsafe" in text for text in found.values())


def test_a_process_that_was_forked_knows_it() -> None:
    home = Home("runtime", None)
    if not (child := os.fork()):
        os._exit(10 + home.forked)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
    assert not home.forked


def test_after_a_fork_each_call_names_the_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_trio() -> None:
        async with sagakit.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            with monkeypatch.context() as forked:
                forked.setattr(whereabouts, "_forks", 1)
                with pytest.raises(WrongContext, match=r"forked.*open one here"):
                    await runtime.start(BookTrip, "one", Trip())

    async def in_asyncio() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            with monkeypatch.context() as forked:
                forked.setattr(whereabouts, "_forks", 1)
                with pytest.raises(WrongContext, match=r"forked.*open one here"):
                    await runtime.start(BookTrip, "one", Trip())

    trio.run(in_trio)
    asyncio.run(in_asyncio())


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("sagas", "says"),
    [
        (BookTrip(), r"sagas=BookTrip\(\.\.\.\): write a list"),
        (BookTrip, "write a list of Saga instances"),
        (None, r"sagas=None: write a list"),
        ("BookTrip", "write a list of Saga instances"),
        ([BookTrip], r"takes instances: write BookTrip\(\.\.\.\)"),
        ([object()], "takes instances of Saga classes, not <object"),
        ([None], "takes instances of Saga classes, not None"),
    ],
)
async def test_a_value_that_is_not_a_list_of_sagas_is_refused_with_advice(sagas: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        async with sagakit.open_runtime("memory:", sagas=sagas):
            raise AssertionError


class Parent(Saga[Trip]):
    trip = child(BookTrip, lambda trip, ctx: trip, pivot=True)


@pytest.mark.parametrize("url", ["memory:", "memory://"])
async def test_a_store_that_nobody_else_reaches_needs_the_children_of_its_sagas(url: str) -> None:
    with pytest.raises(DefinitionError, match="children are missing, and on memory no other worker can run them"):
        async with sagakit.open_runtime(url, sagas=[Parent()]):
            pass


@pytest.mark.parametrize("url", [None, 4222, Path("x"), b"memory:", ""])
async def test_a_value_that_is_not_a_url_is_refused_with_advice(url: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"write .*nats://host:port"):
        async with sagakit.open_runtime(url, sagas=[BookTrip()]):
            raise AssertionError


class Approved(Saga[Trip, None]):
    approved: Signal[str, Any] = signal(str)

    @step(approved, compensate=None)
    async def note(self, trip: Trip, by: str, ctx: Context) -> str:
        return by


@pytest.mark.parametrize("given", ["approved", None, Approved, Approved.note], ids=["text", "none", "class", "step"])
async def test_a_value_that_is_not_a_signal_is_refused_with_advice(given: Any) -> None:
    async with sagakit.open_runtime("memory:", sagas=[Approved()]) as runtime:
        await runtime.start(Approved, "one", Trip())
        with pytest.raises(InvalidInput, match=r"write the signal of the class, such as Approved\.approved"):
            await runtime.signal(Approved, "one", given, "eve")


async def test_a_class_without_signals_says_that_it_has_none() -> None:
    async with sagakit.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
        await runtime.start(BookTrip, "one", Trip())
        with pytest.raises(
            InvalidInput, match=r"signal=<Step BookTrip\.hotel>: BookTrip has no signal that could be sent"
        ):
            await runtime.signal(BookTrip, "one", BookTrip.hotel, "eve")  # type: ignore[arg-type]


AFTER: dict[str, Callable[[Any], Any]] = {
    "step": lambda node: step(after=node, compensate=None),
    "each": lambda node: each(node, after=node, compensate=None),
    "signal": lambda node: signal(str, after=node),
    "timer": lambda node: timer(lambda input, ctx: timedelta(1), after=node),
    "child": lambda node: child(BookTrip, lambda input, ctx: Trip(), after=node),
    "remote": lambda node: remote("a.b", str, send=lambda input, ctx: "", after=node),
}


def test_each_kind_of_node_is_tried_with_a_single_node_in_after() -> None:
    assert set(AFTER) == set(get_args(Kind))


@pytest.mark.parametrize("kind", AFTER)
def test_after_with_a_single_node_is_refused_with_advice(kind: str) -> None:
    with pytest.raises(DefinitionError, match=r"after=<Step Approved\.note>: write a list, even of one"):
        AFTER[kind](Approved.note)


def test_a_misspelled_class_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(DefinitionError, match=r"versoin= is not an option of a saga class; did you mean 'version'\?"):

        class Wrong(Saga[Trip, None], versoin=2):
            pass


def test_class_options_of_a_mixin_are_left_to_the_mixin() -> None:
    class Colored:
        def __init_subclass__(cls, *, color: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    class Before(Colored, Saga[Trip, None], color="red"):
        pass

    class After(Saga[Trip, None], Colored, color="red"):
        pass


@pytest.mark.parametrize("name", ["server.json", "server.lock", "nats.conf", "nats.log", "lock"])
async def test_an_unusable_data_folder_is_named_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opening = Path.open

    def refused(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return opening(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(CannotConnect, match=rf"cannot write to {tmp_path}.*make the folder writable"):
        async with sagakit.open_runtime(f"embedded://{tmp_path}", sagas=[BookTrip()]):
            raise AssertionError
