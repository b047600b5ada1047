"""An error of a user's type affects one message, one attempt or one saga, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import (
    AlreadyStarted,
    Completed,
    Context,
    NotAllowed,
    RetryPolicy,
    Saga,
    child,
    each,
    errors,
    open_runtime,
    signal,
    step,
    timer,
)
from sagakit.binding.permit import CallPermit
from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import ArgumentsUnreadable as CannotRead
from sagakit.engine import (
    AttemptEnded,
    Call,
    Compensating,
    Complete,
    Decide,
    Inbound,
    MakeOutput,
    OutputMade,
    Prepare,
    apply,
    create,
    effects,
)
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.looks import record_of, settled
from tests.servers import Server
from tests.system.inbox_sender import send
from tests.system.members import member
from tests.system.money import EUR, QUICK, RAISED, SAYS, Conditional, Kept, Money, Pay, raising
from tests.system.money import money_is_good as money_is_good

Clock = trio.testing.MockClock


# ---------------------------------------------------------------------- starts


async def test_p11_a_start_whose_type_raises_is_refused_and_harms_no_other(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_runtime(server.url, sagas=[Pay()], namespace=namespace):
        pass
    subject = f"{namespace}.sagain.Pay"
    bad = '{"kind": "start", "input": {"currency": "XXX"}}'
    good = '{"kind": "start", "input": {"currency": "EUR"}}'
    messages = [part for n in range(12) for part in (f"{subject}.bad{n}", f"bad{n}", bad)]
    await send(server, *messages, f"{subject}.good", "good", good)
    for _ in range(2):  # an input that kills the first worker would meet the next one, too
        async with open_runtime(server.url, sagas=[Pay()], namespace=namespace) as runtime:
            with trio.fail_after(60):
                while len(_dropped(caplog)) < 12 or len(await runtime.list_active()) < 1:  # noqa: ASYNC110  # no event tells
                    await trio.sleep(0.05)
            assert await runtime.list_active() == ["Pay.good"]
    assert len(_dropped(caplog)) == 12, "each once"
    assert all("not an input of type Money" in line or "KeyError('XXX')" in line for line in _dropped(caplog))


def _dropped(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "is a dead letter" in line]


@raising
async def test_p11_an_error_of_a_starts_type_affects_that_message_only(
    make: Callable[[], BaseException], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with member(server, Pay()) as running:
        SAYS[:] = [make]
        for n in range(12):
            request = InboxRequest(kind="start", input=msgspec.Raw(b'{"currency":"EUR"}'))
            await running.worker.requests.send(SagaKey("Pay", f"s{n}"), f"m{n}", request)
        await trio.sleep(60)
        assert len(_dropped(caplog)) == 12
        SAYS.clear()
        await running.runtime.start(Pay, "good", EUR)
    assert not server.inbox


@raising
async def test_a_caller_is_told_of_an_error_of_its_type(
    make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Pay()) as running:
        SAYS[:] = [make]
        with pytest.raises(errors.InvalidInput, match="Pay: not an input of type Money: ") as caught:
            await running.runtime.start(Pay, "1", EUR)
        assert type(caught.value.__cause__) is type(make())
        with pytest.raises(errors.UnknownSaga):
            await running.runtime.get(Pay, "1")


def test_an_exit_of_the_program_passes() -> None:
    binding = SagaBinding(Pay())
    record = create(binding.plan, saga_id="1", run="r", input=msgspec.Raw(b'{"currency":"EUR"}'), owner="w", now=0.0)
    SAYS[:] = [KeyboardInterrupt]
    with pytest.raises(KeyboardInterrupt):
        binding.definition.encode_input(EUR)
    with pytest.raises(KeyboardInterrupt):
        binding.answer(MakeOutput(), record)


@raising
async def test_p10_an_input_that_cannot_be_compared_is_another_input(
    make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Pay()) as running:
        await running.runtime.start(Pay, "1", EUR)
        value = b'{"currency": "EUR"}'  # the same value, in other bytes
        binding = SagaBinding(Pay())
        SAYS[:] = [make]
        with pytest.raises(AlreadyStarted, match="cannot be compared"):
            await running.worker.starts.start(binding, "1", value)
        SAYS.clear()
        await running.worker.starts.start(binding, "1", value)


# ------------------------------------------------------------------- arguments


class InThread(Saga[Money]):
    def __init__(self) -> None:
        self.paid: list[str] = []

    go = signal(str)

    @step(go, retry=QUICK, compensate=None)
    def pay(self, money: Money, go: str, ctx: Context) -> str:
        self.paid.append(money.currency)
        return go

    stay = signal(str)


class InAsyncio(Saga[Money], backend="asyncio"):
    def __init__(self) -> None:
        self.paid: list[str] = []

    go = signal(str)

    @step(go, retry=QUICK, compensate=None)
    async def pay(self, money: Money, go: str, ctx: Context) -> str:
        self.paid.append(money.currency)
        return go

    stay = signal(str)


@pytest.mark.parametrize("where", ["memory:", "server"])
@pytest.mark.parametrize("saga", [Pay, InThread, InAsyncio])
async def test_a_step_whose_arguments_cannot_be_read_is_not_called(
    saga: Any, where: str, server: Server, namespace: str
) -> None:
    url = server.url if where == "server" else where
    async with open_runtime(url, sagas=[pay := saga()], namespace=namespace) as runtime:
        handle = await runtime.start(saga, "1", EUR)
        SAYS[:] = [RAISED[0]]
        await runtime.signal(saga, "1", saga.go, "now")
        with trio.fail_after(60):
            record = await settled(handle)
    log = record.steps["pay"]
    assert (record.epoch, record.recoveries) == (1, 0), "no worker was lost"
    assert log.error == f"its arguments cannot be read: {saga.__name__}.input cannot be read as Money: KeyError('XXX')"
    assert not log.unsure, "and it is not in doubt"
    assert pay.paid == []


KEPT = SagaBinding(Kept()).plan


def kept() -> Any:
    """Return a record in which `asks` is about to be called."""
    record = create(KEPT, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    money, go = msgspec.Raw(b'{"currency":"EUR"}'), msgspec.Raw(b'"go"')
    return apply(
        KEPT,
        record,
        [AttemptEnded("first", 1, Complete(money)), Inbound(id="g", kind="signal", step="go", payload=go)],
        1.0,
    )


@raising
async def test_an_unreadable_result_leaves_a_step_that_asks_for_it_in_doubt_and_one_that_takes_it_uncalled(
    make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Kept()) as running:
        binding, services, record = SagaBinding(Kept()), running.worker.environment, kept()

        async def performed(record: Any) -> Any:
            call = next(effect for effect in effects(KEPT, record) if isinstance(effect, Call))
            return call.step, await binding.perform(call, record, services, CallPermit(call.call))

        SAYS[:] = [make]
        step, result = await performed(record)
        assert (step, type(result), result.not_done) == ("asks", CannotRead, False)
        assert result.error.startswith("Kept.first cannot be read as Money: ")
        record = apply(KEPT, record, [AttemptEnded("asks", 1, Complete(msgspec.Raw(b'"EUR"')))], 2.0)
        step, result = await performed(record)
        assert (step, type(result), result.not_done) == ("takes", CannotRead, True)
        record = apply(KEPT, record, [AttemptEnded("takes", 1, Compensating(code="no"))], 3.0)
        step, result = await performed(record)
        assert (step, type(result), result.not_done) == ("first", CannotRead, True), "the undo, which is given it"


# ------------------------------------------------------------------- questions


class Parcel(Saga[Money, Money]):
    @step(compensate=None)
    async def pack(self, money: Money, ctx: Context) -> None: ...

    def output(self, input: Money, ctx: Context) -> Money:
        return input


class Family(Saga[Money]):
    go = signal(str)
    kid = child(Parcel, lambda money, ctx: EUR, after=[go])


class Timed(Saga[Money]):
    go = signal(str)
    wait = timer(lambda money, ctx: timedelta(seconds=1), after=[go])


class Summed(Saga[Money, Money]):
    go = signal(str)

    def output(self, input: Money, ctx: Context) -> Money:
        return input


class Listed(Saga[int]):
    """A saga with an each over money."""

    @step(compensate=None)
    async def first(self, n: int, ctx: Context) -> Money:
        return EUR

    go = signal(str)

    @each(first, lambda money: [money], after=[go], compensate=None)
    async def one(self, n: int, money: Money, ctx: Context) -> None: ...


@raising
@pytest.mark.parametrize("saga", [Conditional, Family, Timed, Summed, Listed])
async def test_an_unreadable_value_in_a_question_stops_only_the_saga(
    saga: Any, make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), saga(), Parcel()) as running:
        handle = await running.runtime.start(saga, "1", 1 if saga is Listed else EUR)
        await trio.sleep(1)
        SAYS[:] = [make]
        await running.runtime.signal(saga, "1", saga.go, "now")
        with trio.fail_after(1000):
            record = await settled(handle)
    assert (record.epoch, record.recoveries) == (1, 0)
    assert "no worker can run it" not in (record.stuck or ""), "no actor was lost"
    told = [record.stuck or "", *(log.error or "" for log in record.steps.values())]
    assert any("cannot be read as Money: " in text for text in told)


def test_an_unreadable_value_in_a_question_is_not_an_error_of_the_function() -> None:
    SAYS[:] = [RAISED[0]]
    for saga, question in ((Conditional, Decide("one")), (Family, Prepare("kid")), (Timed, Prepare("wait"))):
        binding = SagaBinding(saga())
        record = create(
            binding.plan, saga_id="1", run="r", input=msgspec.Raw(b'{"currency":"EUR"}'), owner="w", now=0.0
        )
        answer = binding.answer(question, record)
        assert not isinstance(answer, OutputMade)
        assert answer.unreadable


# -------------------------------------------------------------------- messages


class Wanted(Saga[int]):
    """A saga that waits for money in two ways."""

    money = signal(Money)

    @step(after=(), retry=RetryPolicy(max_attempts=1), compensate=None, on_unknown="ask")
    async def earn(self, n: int, ctx: Context) -> Money:
        raise OSError("no answer")


@raising
async def test_a_payload_whose_type_raises_is_refused(
    make: Callable[[], BaseException], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(MemoryServer(), Wanted()) as running:
        runtime = running.runtime
        handle = await runtime.start(Wanted, "1", 1)
        await trio.sleep(1)
        SAYS[:] = [make]
        raw = {"currency": "EUR"}
        payload = msgspec.Raw(msgspec.json.encode(raw))
        verdict = await runtime.apply(handle.key, "signal", step="money", payload=payload)
        assert verdict.startswith("refused: the payload is not what money takes: ")
        wanted: Any = raw
        with pytest.raises(errors.InvalidInput, match="the payload is not what money takes: "):
            await runtime.signal(Wanted, "1", Wanted.money, wanted)
        with pytest.raises(errors.InvalidInput, match="the payload is not what earn takes: "):
            await handle.complete_step("earn", raw, "by hand")
        with pytest.raises(errors.InvalidInput, match="the payload is not what earn takes: "):
            await handle.report("earn", raw)
        record = await record_of(handle)
        assert (record.epoch, record.recoveries) == (1, 0)


# -------------------------------------------------------------------- outcomes


@raising
async def test_a_caller_is_told_of_an_output_that_cannot_be_read(
    make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Parcel()) as running:
        handle = await running.runtime.start(Parcel, "1", EUR)
        assert await handle.outcome() == Completed(EUR)
        SAYS[:] = [make]
        with trio.fail_after(100), pytest.raises(NotAllowed, match=r"Parcel\.1: its output cannot be read as Money: "):
            await handle.outcome()
