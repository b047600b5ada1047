"""Arguments of callers are checked before anything changes, and the error says what to write instead."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, tzinfo
from typing import Any, cast, get_args

import msgspec
import pytest
import sagakit.asyncio
import trio
import trio.testing
from sagakit import Config, Context, Saga, errors, open_runtime, signal, step
from sagakit.engine import Inbound, InboundKind, Parent
from sagakit.messages.start_context import StartContext
from sagakit.messages.validation import MAX_CONTEXT, checked_context, checked_message

from tests.looks import record_of

CONFIG = Config(worker_name="shop", lease_ttl=20.0)


async def test_options_win_over_a_config_and_leave_the_rest_of_it() -> None:
    async with open_runtime("memory:", sagas=[], config=CONFIG, drain_timeout=1) as runtime:
        assert runtime.config == Config(worker_name="shop", lease_ttl=20.0, drain_timeout=1.0)
    with pytest.raises(errors.InvalidConfig, match="archive_ttl=10"):
        async with open_runtime("memory:", sagas=[], config=CONFIG, archive_ttl=10):
            pass


def test_options_win_over_a_config_under_asyncio_too() -> None:
    async def main() -> Config:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[], config=CONFIG, drain_timeout=1) as runtime:
            return runtime.config

    assert asyncio.run(main()) == Config(worker_name="shop", lease_ttl=20.0, drain_timeout=1.0)


class Go(Saga[int]):
    """A saga that waits for a signal."""

    go = signal(str)

    @step(go, compensate=None)
    async def end(self, n: int, go: str, ctx: Context) -> None: ...


HALF = "\udc80"
"""A lone surrogate, as `os.fsdecode` makes it."""
BAD_CONTEXTS: list[tuple[dict[str, Any], str]] = [
    ({"attributes": {"customer": 42}}, r"Expected `str`, got `int` - at `\$.attributes\[...\]`"),
    ({"attributes": {"customer": HALF}}, "not Unicode text"),
    ({"attributes": 5}, "Expected `object`, got `int`"),
    ({"attributes": {"customer": "x" * 17_000}}, "the limit is 16,384"),
    ({"correlation_id": 7}, "got `int`"),
    ({"correlation_id": HALF}, "not Unicode text"),
    ({"correlation_id": "c" * 513}, "length <= 512"),
    ({"causation_id": "c" * 513}, "length <= 512"),
    ({"trace": {"tracestate": 1}}, "got `int`"),
    ({"trace": {"baggage": "x" * 17_000}}, "the limit is 16,384"),
    ({"trace": object()}, "cannot be written as JSON"),
]


@pytest.mark.parametrize(("given", "says"), BAD_CONTEXTS, ids=range(len(BAD_CONTEXTS)))
async def test_the_context_of_a_start_is_checked_before_the_saga_starts(
    given: dict[str, Any], says: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Otherwise the record could not be written or read again, or every event would carry the value."""
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        with trio.fail_after(60), pytest.raises(errors.InvalidInput, match=says):
            await runtime.start(Go, "1", 1, **given)
        with pytest.raises(errors.UnknownSaga):
            await runtime.load(Go, "1")


def test_a_context_that_fits_a_parent_fits_its_children() -> None:
    trace = {"baggage": "x" * (MAX_CONTEXT - 200)}
    checked_context(StartContext(trace=trace))
    parent = Parent(f"{'T' * 64}.{'i' * 512}", "r" * 32, "n" * 64)
    context = StartContext(correlation_id="i" * 512, causation_id="r" * 32, trace=trace, parent=parent)
    assert (checked_context(context).trace, checked_context(context).parent) == (trace, parent)
    message_id = f"{'T' * 64}/{'i' * 512}/{'r' * 32}/{'n' * 64}/undo/1"
    assert checked_message(Inbound(id=message_id, kind="reverse")).id == message_id
    with pytest.raises(errors.InvalidInput, match="the limit is 20,480"):
        checked_context(StartContext(parent=Parent("k" * 30_000, "r", "n")))
    with pytest.raises(errors.InvalidInput, match="at most 1,024"):
        checked_message(Inbound(id="m" * 1_025, kind="cancel"))


async def test_attributes_and_ids_are_kept_as_they_were_given(autojump_clock: trio.testing.MockClock) -> None:
    attributes = {"customer": "ü" * 4_000}
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        await runtime.start(Go, "1", 1, attributes=attributes, correlation_id="c" * 512, trace={"x": "y"})
        attributes["customer"] = "somebody else"
        record = await runtime.load(Go, "1")
        assert record.attributes == {"customer": "ü" * 4_000}
        assert (record.correlation_id, record.trace) == ("c" * 512, {"x": "y"})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"by": "x" * 513}, "length <= 512"),
        ({"by": HALF}, "not Unicode text"),
        ({"by": 5}, "got `int`"),
        ({"reason": HALF}, "not Unicode text"),
        ({"reason": 5}, "got `int`"),
    ],
)
async def test_the_operator_and_the_reason_are_checked_before_a_verb_is_applied(
    given: dict[str, Any], says: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        handle = await runtime.start(Go, "1", 1)
        with trio.fail_after(60), pytest.raises(errors.InvalidInput, match=says):
            await handle.terminate(**{"reason": "enough", **given})
        assert (await record_of(handle)).status == "running"


async def test_a_value_that_is_not_json_is_refused_everywhere(autojump_clock: trio.testing.MockClock) -> None:
    wrong: Any = object()
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        handle = await runtime.start(Go, "1", 1)
        value: Any
        for value in (HALF, wrong, deep, float("nan"), {"price": [float("inf")]}):
            with pytest.raises(errors.InvalidInput, match="because it is not JSON"):
                await runtime.signal(Go, "1", Go.go, value)
            with pytest.raises(errors.InvalidInput, match="because it is not JSON"):
                await handle.complete_step("end", value, "by hand")
            with pytest.raises(errors.InvalidInput, match="because it is not JSON"):
                await handle.report("end", value)


async def test_a_payload_that_is_nested_too_deeply_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        handle = await runtime.start(Go, "1", 1)
        with pytest.raises(errors.InvalidInput):
            await runtime.apply(handle.key, "signal", step="go", payload=msgspec.Raw(b"[" * 100_000 + b"]" * 100_000))
        for kind in get_args(InboundKind):
            with pytest.raises(errors.InvalidInput, match="more than 500 levels deep"):
                await runtime.apply(handle.key, kind, payload=msgspec.Raw(b"[" * 501 + b"]" * 501))


async def test_an_unknown_kind_of_message_reaches_no_saga(autojump_clock: trio.testing.MockClock) -> None:
    kind: Any = "bogus"
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        handle = await runtime.start(Go, "1", 1)
        with trio.fail_after(60), pytest.raises(errors.InvalidInput, match="bogus"):
            await runtime.apply(handle.key, kind)
        assert (await record_of(handle)).recoveries == 0
        assert (await record_of(handle)).epoch == 1


async def test_an_instance_in_place_of_a_class_and_a_number_in_place_of_an_id_are_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    instance, number, none = cast(Any, Go()), cast(Any, 5), cast(Any, None)
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        for call in (runtime.load, runtime.get, runtime.delete, runtime.history):
            with pytest.raises(errors.InvalidInput, match="write the class"):
                await call(instance, "1")
            for wrong in (number, none):
                with pytest.raises(errors.InvalidId, match=r"write str\(...\)"):
                    await call(Go, wrong)
        with pytest.raises(errors.InvalidInput, match="write the class"):
            await runtime.start(instance, "1", 1)
        with pytest.raises(errors.InvalidId, match=r"write str\(...\)"):
            await runtime.start(Go, number, 1)
        with pytest.raises(errors.InvalidInput, match="write the class"):
            await runtime.list(type=instance)


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_limit_below_one_is_refused(limit: int, autojump_clock: trio.testing.MockClock) -> None:
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        await runtime.start(Go, "1", 1)
        with pytest.raises(errors.InvalidInput, match=f"limit={limit}: at least 1"):
            await runtime.list(limit=limit)
        assert len((await runtime.list(limit=1)).items) == 1


class Zone(tzinfo):
    """A caller's time zone whose table is missing."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        raise LookupError("no table of zones")

    tzname = dst = utcoffset  # type: ignore[assignment]


async def test_an_error_of_a_callers_object_is_reported_as_a_wrong_argument(
    autojump_clock: trio.testing.MockClock,
) -> None:
    when: Any = datetime(2030, 1, 1, tzinfo=Zone())
    async with open_runtime("memory:", sagas=[Go()], drain_timeout=0) as runtime:
        with pytest.raises(errors.InvalidInput, match="no table of zones"):
            await runtime.start(Go, "1", when)
        with pytest.raises(errors.InvalidInput, match="no table of zones"):
            await runtime.start(Go, "1", 1, attributes={"customer": when})
        with pytest.raises(errors.InvalidInput, match="no table of zones"):
            await runtime.signal(Go, "1", Go.go, when)
