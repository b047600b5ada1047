"""The asyncio side: which kind of loop is chosen, that no import wants trio-asyncio, and that the order is kept."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest
import trio
from sagakit import Completed, Context, Saga, open_runtime, step
from sagakit.errors import InvalidConfig
from sagakit.jetstream import asyncio_side
from sagakit.jetstream.asyncio_side import VARIABLE, OtherThread, SameThread, has_trio_asyncio, open_asyncio_side


class Where(Saga[None, bool]):
    """Tells whether its step runs in the thread of the program."""

    @step(compensate=None, backend="asyncio")
    async def look(self, nothing: None, ctx: Context) -> bool:
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    def output(self, input: None, ctx: Context) -> bool:
        return ctx.result(Where.look)


async def test_the_variable_chooses_the_loop(each_loop: None) -> None:
    async with open_asyncio_side() as side:
        assert isinstance(side, SameThread if has_trio_asyncio() else OtherThread)


async def test_asyncio_steps_run_on_the_same_kind_of_loop(each_loop: None) -> None:
    async with open_runtime("memory:", sagas=[Where()]) as runtime:
        assert await runtime.execute(Where, "one", None) == Completed(has_trio_asyncio())


def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "uvloop")
    with pytest.raises(InvalidConfig, match="SAGAKIT_ASYNCIO=uvloop: it is neither `trio-asyncio` nor `thread`"):
        has_trio_asyncio()


def test_trio_asyncio_is_refused_where_it_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio_side, "_imports_trio_asyncio", lambda: False)
    monkeypatch.setenv(VARIABLE, "trio-asyncio")
    with pytest.raises(InvalidConfig, match="it cannot be imported here"):
        has_trio_asyncio()
    monkeypatch.delenv(VARIABLE)
    assert not has_trio_asyncio()


def test_no_module_imports_trio_asyncio() -> None:
    code = (
        "import pkgutil, importlib, sys, sagakit, sagakit.asyncio, sagakit.jetstream as package\n"
        "for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "sys.exit('trio_asyncio' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_calls_cross_in_order_both_ways(each_loop: None) -> None:
    went: list[int] = []
    came: list[int] = []
    complete = trio.Event()

    async with open_asyncio_side() as side:

        def take(number: int) -> None:
            came.append(number)
            if number == 99:
                complete.set()

        def pass_on(number: int) -> None:
            went.append(number)
            side.here(take, number)

        for number in range(100):
            side.there(pass_on, number)
        with trio.fail_after(60):
            await complete.wait()
    assert went == came == list(range(100))


async def test_an_error_that_a_task_of_the_users_ends_with_is_in_the_log(
    each_loop: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Also an OSError: only attempts to connect that were given up are left out."""

    async def fail() -> None:
        raise ConnectionRefusedError("the bank is closed")

    async def leave_behind() -> None:
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0)

    async with open_asyncio_side() as side:
        await side.call(leave_behind)
        gc.collect()  # asyncio logs it when the task goes
    assert [record.levelname for record in caplog.records if record.name == "sagakit.link"] == ["ERROR"]
