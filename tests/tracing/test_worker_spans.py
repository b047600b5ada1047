"""A worker exports a span for each attempt and each saga, with the saga's ids, whichever worker the saga is at."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
import trio.testing
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_OFF, Sampler, SamplingResult
from sagakit import Completed, Context, Failed, Reject, RetryPolicy, Saga, child, step
from sagakit.engine import Record
from sagakit.errors import InvalidConfig
from sagakit.otel import OtelTracing, TraceIds
from sagakit.store.memory_server import MemoryServer
from sagakit.tracing import SagaSpan, TraceParent, parent_in, spans_between

from tests.looks import record_of
from tests.system.commands_taken import reply, taken
from tests.system.members import killable, member
from tests.system.test_remote import Buy
from tests.tracing.exported import Exported, links_of, outcome_of, parent_id, span_id, traces_of

Clock = trio.testing.MockClock
STARTER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAST = RetryPolicy(max_attempts=3, initial_interval=timedelta(seconds=1))


class Trip(Saga[str]):
    """A saga whose second step refuses Oslo."""

    @step(retry=FAST)
    async def hotel(self, city: str, ctx: Context) -> str:
        if city == "Rome" and ctx.attempt == 1:
            raise RuntimeError("the line was cut")
        return "room 7"

    @hotel.compensate
    async def cancel(self, city: str, room: str | None, ctx: Context) -> None: ...

    @step(hotel, compensate=None)
    async def flight(self, city: str, room: str, ctx: Context) -> None:
        if city == "Oslo":
            raise Reject("sold_out")


async def test_each_attempt_has_a_span_and_the_saga_has_one_around_them(autojump_clock: Clock) -> None:
    out = Exported()
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        await running.runtime.execute(Trip, "1", "Rome")
        first, second = out.named("hotel")
        root = out.only("Trip")
        assert [outcome_of(span) for span in out.spans] == ["unknown", "done", "done", "completed"]
        assert {parent_id(span) for span in (first, second, out.only("flight"))} == {span_id(root)}
        assert (parent_id(root), links_of(first), links_of(second)) == (None, [], [span_id(first)])
        assert (first.status.is_ok, second.status.is_ok, root.status.is_ok) == (False, True, True)
        assert "the line was cut" in str(first.status.description)
        assert len(traces_of(out.spans)) == 1
        assert first.attributes is not None
        assert first.attributes["sagakit.worker"] == running.runtime.worker_id
        assert root.start_time == first.start_time, "the recorded start"


async def test_a_saga_that_fails_says_why_and_shows_its_undos(autojump_clock: Clock) -> None:
    out = Exported()
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        assert isinstance(await running.runtime.execute(Trip, "1", "Oslo"), Failed)
    hotel, flight, undo, root = out.spans
    assert [span.name for span in out.spans] == ["hotel", "flight", "undo hotel", "Trip"]
    assert (outcome_of(flight), flight.status.description) == ("rejected", "rejected: sold_out")
    assert links_of(undo) == [span_id(hotel)]
    assert (root.attributes or {})["sagakit.code"] == "sold_out"
    assert (root.status.is_ok, root.status.description) == (False, "sold_out")


async def test_a_saga_belongs_to_the_trace_of_its_starter(autojump_clock: Clock) -> None:
    out = Exported()
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        await running.runtime.start(Trip, "1", "Bern", trace={"traceparent": STARTER})
        await running.retired()
    assert traces_of(out.spans) == {0x0AF7651916CD43DD8448EB211C80319C}
    assert parent_id(out.only("Trip")) == 0xB7AD6B7169203331


class Once(Saga[str]):
    """A saga whose step hangs until it is let go, and says which span was current in it."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.may_end = trio.Event()

    @step(compensate=None, retry=FAST)
    async def work(self, what: str, ctx: Context) -> None:
        self.begun.set()
        await self.may_end.wait()


async def test_a_trace_survives_the_worker(autojump_clock: Clock) -> None:
    """The next owner exports the attempt that was cut off, and links the next one to it. A zombie exports nothing."""
    server, lost, next_owner = MemoryServer(), Exported(), Exported()
    async with killable() as start:
        saga, other = Once(), Once()
        victim = await start(server, saga, tracing=lost.tracing)
        await victim.runtime.start(Once, "1", "x")
        await saga.begun.wait()
        victim.kill()
        heir = await start(server, other, tracing=next_owner.tracing)
        other.may_end.set()
        with trio.fail_after(600):
            assert await (await heir.runtime.get(Once, "1")).outcome() == Completed(None)
        cut_off, done = next_owner.named("work")
        assert lost.spans == []
        assert (outcome_of(cut_off), outcome_of(done)) == ("unknown", "done")
        assert "worker was lost" in str(cut_off.status.description)
        workers = [(span.attributes or {})["sagakit.worker"] for span in (cut_off, done)]
        assert workers == [victim.runtime.worker_id, heir.runtime.worker_id]
        assert links_of(done) == [span_id(cut_off)]
        assert parent_id(cut_off) == parent_id(done) == span_id(next_owner.only("Once"))


async def test_two_workers_that_export_the_same_attempt_export_the_same_span(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs: list[tuple[Record | None, Record]] = []

    def noted(before: Record | None, record: Record) -> list[SagaSpan]:
        pairs.append((before, record))
        return spans_between(before, record)

    monkeypatch.setattr("sagakit.system.saga_tracer.spans_between", noted)
    one, two = Exported(), Exported()
    async with member(MemoryServer(), Trip(), tracing=one.tracing) as running:
        await running.runtime.execute(Trip, "1", "Rome")
        await running.runtime.execute(Trip, "2", "Oslo")
    for before, record in pairs:
        for span in spans_between(before, record):
            two.tracing.export(span)
    assert len(one.spans) == 8
    assert [span.to_json() for span in two.spans] == [span.to_json() for span in one.spans]


class Parent(Saga[str]):
    trip = child(Trip, lambda city, ctx: city)


async def test_a_child_is_in_the_trace_of_its_parent(autojump_clock: Clock) -> None:
    out = Exported()
    async with member(MemoryServer(), Parent(), Trip(), tracing=out.tracing) as running:
        await running.runtime.execute(Parent, "1", "Bern")
        await running.retired()
    assert len(traces_of(out.spans)) == 1
    assert parent_id(out.only("Trip")) == span_id(out.only("trip"))
    assert parent_id(out.only("trip")) == span_id(out.only("Parent"))


async def test_a_command_names_the_attempt_as_the_parent_of_what_it_causes(autojump_clock: Clock) -> None:
    server, out = MemoryServer(), Exported()
    async with member(server, Buy(), tracing=out.tracing) as running:
        handle = await running.runtime.start(Buy, "1", 30, trace={"traceparent": STARTER, "tracestate": "a=b"})
        command = await taken(server, "payments.charge")
        reply(server, command, "done", payload="paid")
        reply(server, await taken(server, "shipping.ship"), "done", payload="sent")
        await handle.outcome()
    charge = out.only("charge")
    assert command.trace is not None
    assert command.trace["tracestate"] == "a=b"
    named = parent_in(command.trace)
    assert named is not None
    assert (named.trace_id, named.span_id, named.sampled) == (0x0AF7651916CD43DD8448EB211C80319C, span_id(charge), True)
    assert charge.kind is trace.SpanKind.CLIENT


async def test_without_tracing_a_command_carries_the_starters_trace(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Buy()) as running:
        await running.runtime.start(Buy, "1", 30, trace={"traceparent": STARTER})
        assert (await taken(server, "payments.charge")).trace == {"traceparent": STARTER}


@pytest.mark.parametrize("starter", [None, {"traceparent": f"{STARTER[:-2]}00"}])
async def test_what_is_not_sampled_is_not_exported_and_commands_say_so(
    autojump_clock: Clock, starter: dict[str, str] | None
) -> None:
    server, out = MemoryServer(), Exported(DEFAULT_OFF) if starter is None else Exported()
    async with member(server, Buy(), tracing=out.tracing) as running:
        handle = await running.runtime.start(Buy, "1", 30, trace=starter)
        command = await taken(server, "payments.charge")
        reply(server, command, "done", payload="paid")
        reply(server, await taken(server, "shipping.ship"), "done", payload="sent")
        await handle.outcome()
    named = parent_in(command.trace)
    assert named is not None
    assert not named.sampled
    assert out.spans == []


# ------------------------------------------------------------------- user code


class Three(Saga[str]):
    """A saga with a step of each kind, each of which has a span of its own."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer

    @step(compensate=None)
    async def on_trio(self, text: str, ctx: Context) -> None:
        with self.tracer.start_as_current_span("in on_trio"):
            await trio.lowlevel.checkpoint()

    @step(on_trio, compensate=None)
    def in_thread(self, text: str, before: None, ctx: Context) -> None:
        with self.tracer.start_as_current_span("in in_thread"):
            pass

    @step(in_thread, compensate=None, backend="asyncio")
    async def on_asyncio(self, text: str, before: None, ctx: Context) -> None:
        with self.tracer.start_as_current_span("in on_asyncio"):
            pass


def _children_are_found(out: Exported) -> None:
    for name in ("on_trio", "in_thread", "on_asyncio"):
        assert parent_id(out.only(f"in {name}")) == span_id(out.only(name))


async def test_spans_of_user_code_are_children_of_the_attempts() -> None:
    out = Exported()
    async with sagakit.open_runtime("memory:", sagas=[Three(out.tracer)], tracing=out.tracing) as runtime:
        with trio.fail_after(60):
            await runtime.execute(Three, "1", "x")
    _children_are_found(out)


async def test_spans_of_user_code_are_children_in_an_asyncio_program(tmp_path: Any) -> None:
    import asyncio

    out = Exported()

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            sagakit.asyncio.open_runtime("memory:", sagas=[Three(out.tracer)], tracing=out.tracing) as runtime,
        ):
            await runtime.execute(Three, "1", "x")

    await trio.to_thread.run_sync(asyncio.run, main())
    _children_are_found(out)


def test_after_an_attempt_the_span_before_it_is_current_again() -> None:
    out = Exported()
    with out.tracer.start_as_current_span("around") as around:
        with out.tracing.entered(TraceParent(1, 2, sampled=True)):
            assert trace.get_current_span().get_span_context().span_id == 2
        assert trace.get_current_span() is around


# ------------------------------------------------------------------------ faults


class Broken(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("the disk is full")


class BrokenSampler(Sampler):
    def should_sample(self, *args: Any, **options: Any) -> SamplingResult:
        raise RuntimeError("no rules")

    def get_description(self) -> str:
        return "broken"


async def test_a_saga_does_not_suffer_from_a_span_processor(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    out = Exported()
    out.provider.add_span_processor(Broken())
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        assert await running.runtime.execute(Trip, "1", "Bern") == Completed(None)
    assert "spans of Trip.1 are lost: RuntimeError('the disk is full')" in caplog.text


async def test_a_saga_does_not_suffer_from_a_sampler(autojump_clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    out = Exported(BrokenSampler())
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        assert await running.runtime.execute(Trip, "1", "Bern") == Completed(None)
    assert "the sampler failed" in caplog.text


def test_without_a_provider_of_the_sdk_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InvalidConfig, match=r"pass OtelTracing\(provider\)"):
        OtelTracing()


async def test_the_switch_of_the_sdk_turns_tracing_off(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = OtelTracing(TracerProvider(shutdown_on_exit=False))
    async with member(MemoryServer(), Trip(), tracing=tracing) as running:
        assert await running.runtime.execute(Trip, "1", "Bern") == Completed(None)


# -------------------------------------------------------------------------- logs


async def test_log_lines_on_attempts_and_sagas_carry_the_ids(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    out = Exported()
    async with member(MemoryServer(), Trip(), tracing=out.tracing) as running:
        await running.runtime.execute(Trip, "1", "Rome")
    [line] = [one for one in caplog.records if "the line was cut" in one.getMessage()]
    first = out.named("hotel")[0]
    assert _ids(line) == (f"{next(iter(traces_of([first]))):032x}", f"{span_id(first):016x}")


def _ids(line: logging.LogRecord) -> tuple[object, object]:
    said: Mapping[str, object] = vars(line)
    return said.get("trace_id"), said.get("span_id")


class Talks(Saga[str]):
    @step(compensate=None)
    async def work(self, text: str, ctx: Context) -> None:
        ctx.log.warning("I am at it")


async def test_lines_of_user_code_carry_the_ids_of_the_attempt(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    out, ids = Exported(), TraceIds()
    caplog.handler.addFilter(ids)
    try:
        async with member(MemoryServer(), Talks(), tracing=out.tracing) as running:
            await running.runtime.execute(Talks, "1", "x")
    finally:
        caplog.handler.removeFilter(ids)
    [line] = [one for one in caplog.records if one.getMessage() == "I am at it"]
    span = out.only("work")
    assert _ids(line) == (f"{next(iter(traces_of([span]))):032x}", f"{span_id(span):016x}")


async def test_without_tracing_no_line_has_ids(autojump_clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async with member(MemoryServer(), Trip()) as running:
        handle = await running.runtime.start(Trip, "1", "Rome")
        await handle.outcome()
        assert (await record_of(handle)).trace is None
    [line] = [one for one in caplog.records if "the line was cut" in one.getMessage()]
    assert _ids(line) == (None, None)
