"""The log reports a saga in trouble: a stuck saga, and the first failure of a call, once for each."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
import sagakit
import trio
import trio.testing
from sagakit import Completed, Context, Done, Reject, Retry, RetryPolicy, Saga, child, each, signal, step, timer
from sagakit.client import script
from sagakit.errors import SagaStuck
from sagakit.ration import LINES
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.sagas import QUICK, BookTrip, Trip
from tests.system.members import member, until_ended
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock
ONCE = RetryPolicy(max_attempts=1)
BROKE = "tests/sagas.py:48 in _call"


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def stuck_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in lines(caplog, logging.ERROR) if " is stuck" in line]


class DividesAtPivot(Saga[int, None], name="Divides"):
    @step(pivot=True, retry=ONCE)
    async def divide(self, number: int, ctx: Context) -> float:
        return 1 / number


class AsyncioDivides(Saga[int, None], backend="asyncio"):
    @step(pivot=True, retry=ONCE)
    async def divide(self, number: int, ctx: Context) -> float:
        return 1 / number


class ThreadDivides(Saga[int, None]):
    @step(pivot=True, retry=ONCE)
    def divide(self, number: int, ctx: Context) -> float:
        return 1 / number


class Waits(Saga[int, None]):
    """A saga that waits for a time, and for a signal that nobody sends."""

    later = timer(timedelta(seconds=0.4))
    told = signal(str, after=[later], timeout=timedelta(seconds=0.4), on_timeout="continue")


class UndoFails(Saga[int, None]):
    @step(retry=ONCE)
    async def reserve(self, number: int, ctx: Context) -> int:
        return number

    @reserve.compensate(retry=ONCE)
    async def release(self, number: int, reserved: int | None, ctx: Context) -> None:
        raise RuntimeError("cannot release")

    @step(reserve, compensate=None)
    async def refuse(self, number: int, reserved: int, ctx: Context) -> int:
        raise Reject("no")


class NoOutput(Saga[int, int]):
    @step(compensate=None)
    async def work(self, number: int, ctx: Context) -> int:
        return number

    def output(self, input: int, ctx: Context) -> int:
        raise LookupError("no output")


@pytest.mark.parametrize(
    ("saga", "says"),
    [
        (DividesAtPivot(), r"Divides\.one is stuck at divide \(attempt 1\): .*ZeroDivisionError.*retry\(\)"),
        (AsyncioDivides(), r"AsyncioDivides\.one is stuck at divide \(attempt 1\): .*ZeroDivisionError.*retry\(\)"),
        (ThreadDivides(), r"ThreadDivides\.one is stuck at divide \(attempt 1\): .*ZeroDivisionError.*retry\(\)"),
        (UndoFails(), r"UndoFails\.one is stuck at reserve \(attempt 1\): .*cannot release.*mark_undone"),
        (NoOutput(), r"NoOutput\.one is stuck: output: LookupError.*retry\(\)"),
    ],
    ids=lambda found: type(found).__name__ if isinstance(found, Saga) else "",
)
def test_run_raises_the_reason_of_a_stuck_saga(saga: Saga[int, Any], says: str) -> None:
    async def bounded() -> None:
        with trio.fail_after(60):
            await trio.to_thread.run_sync(lambda: sagakit.run(saga, "one", 0, url="memory:"), abandon_on_cancel=True)

    with pytest.raises(SagaStuck, match=says) as raised:
        trio.run(bounded)
    assert raised.value.key.endswith(".one")


async def test_a_stuck_saga_is_one_error_line_until_it_moves(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga, passivate_after=0.5) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        await trio.sleep(100)  # it is passivated, and loaded again by callers
        await record_of(handle)
        [line] = stuck_lines(caplog)
        assert line.startswith("BookTrip.one is stuck at tickets (attempt 3): tickets: blocked, RuntimeError")
        [told] = [record for record in caplog.records if record.getMessage() == line]
        assert vars(told)["saga"] == "BookTrip.one"
        assert (vars(told)["step"], vars(told)["attempt"]) == ("tickets", 3)
        await handle.retry("once more")
        await trio.sleep(1)
        await settled(handle)
        assert len(stuck_lines(caplog)) == 2


async def test_the_first_failure_of_a_call_is_a_warning_and_later_ones_are_not(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    saga = BookTrip()
    async with member(MemoryServer(), saga) as running:
        await stuck(running.runtime, saga, "one", Trip(refuse="flight", fail="cancel_hotel"))
    assert lines(caplog, logging.WARNING) == [
        f"BookTrip.one: undo hotel failed at attempt 1: RuntimeError('cancel_hotel broke') at {BROKE}"
    ]
    assert "BookTrip.one: flight attempt 1: refused" in lines(caplog, logging.INFO), "a refusal is an answer"
    later = [line for line in lines(caplog, logging.INFO) if "undo hotel" in line]
    assert later == [
        f"BookTrip.one: undo hotel attempt {n}: RuntimeError('cancel_hotel broke') at {BROKE}" for n in (2, 3)
    ]


# ------------------------------------------------------------------ the line that raised


def divide(number: int) -> float:
    return 1 / number


class InHelper(Saga[int, None]):
    @step(retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> float:
        return divide(number)


class InThread(Saga[int, None]):
    @step(retry=ONCE, compensate=None)
    def work(self, number: int, ctx: Context) -> float:
        return divide(number)


class InLibrary(Saga[int, None]):
    @step(retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> Any:
        return json.loads("{")


class InNursery(Saga[int, None]):
    async def child(self, number: int) -> None:
        divide(number)

    @step(retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.child, number)


class OfSagakit(Saga[int, None]):
    @step(retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> None:
        ctx.heartbeat(1)  # type: ignore[call-arg]


class InUndo(Saga[int, None]):
    @step(compensate=None)
    async def first(self, number: int, ctx: Context) -> None: ...

    @step
    async def work(self, number: int, ctx: Context) -> None: ...

    @work.compensate(retry=ONCE)
    async def undo(self, number: int, worked: None, ctx: Context) -> None:
        divide(number)

    @step(compensate=None)
    async def refuse(self, number: int, ctx: Context) -> None:
        raise Reject("no")


class InCheck(Saga[int, None]):
    @step(on_unknown="check", retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> float:
        raise OSError("lost")

    @work.check
    async def worked(self, number: int, ctx: Context) -> Done[float] | None:
        return Done(divide(number))


class InCondition(Saga[int, None]):
    @step(compensate=None, when=lambda number, ctx: divide(number) > 0)
    async def work(self, number: int, ctx: Context) -> None: ...


class InItems(Saga[int, None]):
    @each(lambda number, ctx: [divide(number)], compensate=None)
    async def work(self, number: int, item: float, ctx: Context) -> None: ...


class InTimer(Saga[int, None]):
    work = timer(lambda number, ctx: timedelta(divide(number)))


class InChild(Saga[int, None]):
    work = child(DividesAtPivot, lambda number, ctx: int(divide(number)), pivot=True)


class InOutput(Saga[int, float]):
    @step(compensate=None)
    async def work(self, number: int, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> float:
        return divide(input)


@pytest.mark.parametrize(
    ("saga", "says", "where"),
    [
        (InHelper(), "work failed at attempt 1: ZeroDivisionError", "divide"),
        (InThread(), "work failed at attempt 1: ZeroDivisionError", "divide"),
        (InLibrary(), "work failed at attempt 1: JSONDecodeError", "work"),
        (InNursery(), "work failed at attempt 1: ZeroDivisionError", "divide"),
        (OfSagakit(), "work failed at attempt 1: TypeError", "work"),
        (InUndo(), "undo work failed at attempt 1: ZeroDivisionError", "divide"),
        (InCheck(), "check work failed at attempt 1: ZeroDivisionError", "divide"),
        (InCondition(), "work cannot begin: when: ZeroDivisionError", "divide"),
        (InItems(), "work cannot begin: items: ZeroDivisionError", "divide"),
        (InTimer(), "work cannot begin: timer: ZeroDivisionError", "divide"),
        (InChild(), "work cannot begin: input of the child: ZeroDivisionError", "divide"),
        (InOutput(), "output: ZeroDivisionError", "divide"),
    ],
    ids=lambda found: type(found).__name__ if isinstance(found, Saga) else "",
)
async def test_an_error_of_user_code_is_a_warning_that_ends_with_its_line(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, saga: Saga[int, Any], says: str, where: str
) -> None:
    async with member(MemoryServer(), saga, DividesAtPivot()) as running:
        await settled(await running.runtime.start(type(saga), "one", 0))
    found = [line for line in lines(caplog, logging.WARNING) if says in line]
    assert len(found) == 1
    assert found[0].startswith(f"{type(saga).__name__}.one: {says}")
    assert re.search(rf" at tests/system/test_told\.py:\d+ in {where}$", found[0]), found


class Large(Saga[int, None]):
    @step(retry=RetryPolicy(max_attempts=3, initial_interval=timedelta(milliseconds=10)), compensate=None)
    async def work(self, number: int, ctx: Context) -> str:
        return "x" * 3_000_000


class ChecksLarge(Saga[int, None]):
    @step(on_unknown="check", retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> str:
        raise OSError("lost")

    @work.check
    async def worked(self, number: int, ctx: Context) -> Done[str]:
        return Done("x" * 3_000_000)


class ManyGiven(Saga[int, None]):
    @each(lambda number, ctx: ["x" * 3_000_000], compensate=None)
    async def work(self, number: int, item: str, ctx: Context) -> None: ...


class LargeOutput(Saga[int, str]):
    @step(compensate=None)
    async def work(self, number: int, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> str:
        return "x" * 3_000_000


class NoItems(Saga[int, None]):
    @each(lambda number, ctx: number, compensate=None)
    async def work(self, number: int, item: int, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("saga", "says"),
    [
        (Large(), "work failed at attempt 1: result too large: 3,000,002 bytes"),
        (ChecksLarge(), "work failed at attempt 1: result too large: 3,000,002 bytes"),
        (ManyGiven(), "work cannot begin: what it starts with is too large"),
        (LargeOutput(), "output: too large"),
        (NoItems(), "work cannot begin: items: TypeError('what computes the items returned 1: return a list')"),
    ],
    ids=lambda found: type(found).__name__ if isinstance(found, Saga) else "",
)
async def test_a_value_that_cannot_be_kept_is_one_warning(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, saga: Saga[int, Any], says: str
) -> None:
    async with member(MemoryServer(), saga) as running:
        await settled(await running.runtime.start(type(saga), "one", 1))
    found = [line for line in lines(caplog, logging.WARNING) if says in line]
    assert len(found) == 1
    assert found[0].startswith(f"{type(saga).__name__}.one: {says}")


# ------------------------------------------------------------------ requests that are not failures, and floods


class Slow(Saga[int, None]):
    @step(retry=ONCE, timeout=timedelta(seconds=1), compensate=None)
    async def sleep(self, number: int, ctx: Context) -> int:
        await trio.sleep(1000)
        return number


class Unwritten(Saga[int, None]):
    @step(retry=ONCE, compensate=None)
    async def work(self, number: int, ctx: Context) -> int:
        return object()  # type: ignore[return-value]


class Polls(Saga[int, None]):
    @step(retry=RetryPolicy(max_attempts=3, initial_interval=timedelta(milliseconds=10)), compensate=None)
    async def poll(self, number: int, ctx: Context) -> int:
        if ctx.attempt < 3:
            raise Retry("not yet")
        return number


@pytest.mark.parametrize(
    ("saga", "warned"),
    [
        (Slow(), ["Slow.one: sleep failed at attempt 1: timeout after 1 s"]),
        (Unwritten(), ["Unwritten.one: work failed at attempt 1: its result cannot be encoded"]),
        (Polls(), []),
    ],
    ids=lambda found: type(found).__name__ if isinstance(found, Saga) else "",
)
async def test_every_failure_is_reported_and_a_steps_own_request_is_not_a_failure(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, saga: Saga[int, Any], warned: list[str]
) -> None:
    async with member(MemoryServer(), saga) as running:
        await running.runtime.execute(type(saga), "one", 1)
    found = lines(caplog, logging.WARNING)
    assert len(found) == len(warned)
    assert all(line.startswith(begin) for line, begin in zip(found, warned, strict=True))


class ManyItems(Saga[int, None]):
    @step(compensate=None)
    async def numbers(self, count: int, ctx: Context) -> list[int]:
        return list(range(count))

    @each(numbers, retry=QUICK, compensate=None)
    async def item(self, count: int, number: int, ctx: Context) -> int:
        raise RuntimeError("down")


async def test_an_outage_of_a_participant_does_not_flood_the_log(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with member(server, ManyItems(), BookTrip()) as running:
        for number in range(3):
            await running.runtime.execute(ManyItems, f"m{number}", 100)
        for number in range(100):
            await running.runtime.start(BookTrip, f"s{number}", Trip(fail="hotel"))
        for number in range(100):
            await until_ended(server, f"BookTrip.s{number}")
    failures = [line for line in lines(caplog, logging.WARNING) if " failed at " in line]
    assert len([line for line in failures if ": item/" in line]) == LINES
    assert len([line for line in failures if ": hotel failed" in line]) == LINES


def test_a_script_says_what_its_saga_waits_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PATIENCE", 0.02)
    assert sagakit.run(Waits(), "one", 1, url="memory:") == Completed(None)
    found = [re.sub(r"\d{4}-.*\d UTC", "TIME UTC", line) for line in lines(caplog, logging.WARNING)]
    assert found == [
        "Waits.one waits until TIME UTC, for its timer later",
        "Waits.one waits for the signal told, which another program has to send: see `Client.signal`",
    ]
