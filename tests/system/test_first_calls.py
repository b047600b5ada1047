"""Mistakes of a first program in opening, starting, sending and looking give errors that say what to write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sagakit
import trio
from sagakit import (
    Completed,
    Config,
    Context,
    DefinitionError,
    InvalidConfig,
    InvalidId,
    InvalidInput,
    NotAllowed,
    NotRegistered,
    RetryPolicy,
    Saga,
    SagaStuck,
    TooLate,
    UnknownSaga,
    signal,
    step,
)

TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


@dataclass
class Order:
    number: int


class Pay(Saga[Order, str]):
    @step(compensate=None, retry=TWICE)
    async def pay(self, order: Order, ctx: Context) -> str:
        return "paid"

    def output(self, input: Order, ctx: Context) -> str:
        return "done"


class Wait(Saga[Order, str]):
    approved = signal(str)

    @step(approved, compensate=None)
    async def note(self, order: Order, by: str, ctx: Context) -> str:
        return by

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Wait.note)


class Hold(Saga[Order, str]):
    """A saga that gets stuck at its pivot."""

    @step(pivot=True, retry=RetryPolicy(max_attempts=1))
    async def send(self, order: Order, ctx: Context) -> str:
        raise OSError("no route")

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Hold.send)


ONE = Order(1)
ANY: Any = Order

# ------------------------------------------------------------------ opening

OPENINGS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "url_without_scheme": ({"url": "localhost:4222"}, InvalidConfig, r"open localhost:.*write nats://host:port"),
    "url_of_http": ({"url": "http://localhost:4222"}, InvalidConfig, r"cannot open http:.*write nats://host:port"),
    "url_of_nothing": ({"url": "nats://"}, InvalidConfig, "'nats://' is no server's address: write nats://host:port"),
    "url_of_sqlite": ({"url": "sqlite:x"}, InvalidConfig, r"cannot open sqlite:.*write nats://host:port"),
    "empty_url": ({"url": ""}, InvalidConfig, "cannot open an empty url: write nats://host:port"),
    "no_url": ({"url": None}, InvalidConfig, "url=None: write a text"),
    "url_of_a_number": ({"url": 5}, InvalidConfig, "url=5: write a text"),
    "option_of_text": ({"drain_timeout": "soon"}, InvalidConfig, "drain_timeout='soon': Expected `float`, got `str`"),
    "option_of_a_timedelta": ({"drain_timeout": timedelta(3)}, InvalidConfig, "Expected `float`, got `duration`"),
    "option_below_its_bound": ({"max_active": 0}, InvalidConfig, "max_active=0: Expected `int` >= 1"),
    "option_misspelt": ({"lease_tll": 1}, InvalidConfig, "no such option: lease_tll; did you mean 'lease_ttl'?"),
    "class_in_place_of_a_saga": ({"sagas": [Pay]}, DefinitionError, r"takes instances: write Pay\(\.\.\.\)"),
    "two_of_one_class": ({"sagas": [Pay(), Pay()]}, DefinitionError, "two definitions of Pay version 1: give one"),
    "a_dict_of_sagas": ({"sagas": {"a": Pay()}}, DefinitionError, "takes instances of Saga classes, not 'a'"),
}


@pytest.mark.parametrize("name", OPENINGS)
async def test_a_wrong_call_of_open_runtime_says_what_to_write(name: str) -> None:
    given, error, says = OPENINGS[name]
    with pytest.raises(error, match=says):
        async with sagakit.open_runtime(**({"url": "memory:", "sagas": [Pay()]} | given)):
            raise AssertionError


@pytest.mark.parametrize("sagas", [[], (Pay() for _ in range(1)), (Pay(),)], ids=["none", "generator", "tuple"])
async def test_any_iterable_of_sagas_is_taken(sagas: Any) -> None:
    async with sagakit.open_runtime("memory:", sagas=sagas) as runtime:
        assert runtime.ready


def test_a_variable_that_is_not_a_number_is_refused_with_its_option() -> None:
    with pytest.raises(InvalidConfig, match="lease_ttl='soon': Expected `float`, got `str`"):
        Config.from_env({"SAGAKIT_LEASE_TTL": "soon"})


# ------------------------------------------------------------------ calling

Call = Callable[[Any], Awaitable[Any]]
RUNTIME_CALLS: dict[str, tuple[Call, type[Exception], str]] = {
    "start_of_an_instance": (lambda r: r.start(Pay(), "x", ONE), InvalidInput, "write the class that is in"),
    "start_of_a_name": (lambda r: r.start("Pay", "x", ONE), InvalidInput, "'Pay' is no.* Saga class: write"),
    "start_of_a_stranger": (lambda r: r.start(Strange, "x", ONE), NotRegistered, r"Hold, Pay, Wait\): add an instance"),
    "start_without_input": (lambda r: r.start(Pay, ONE), TypeError, "'input'"),
    "start_with_a_stray_option": (lambda r: r.start(Pay, "x", ONE, timeout=1), TypeError, "'timeout'"),
    "start_with_a_fifth_argument": (lambda r: r.start(Pay, "x", ONE, "corr"), TypeError, "positional arguments"),
    "id_of_a_number": (lambda r: r.start(Pay, 7, ONE), InvalidId, r"the saga id 7 is not text: write str\(\.\.\.\)"),
    "input_for_id": (lambda r: r.start(Pay, ONE, "x"), InvalidId, r"the saga id Order\(number=1\) is not text"),
    "id_too_long": (lambda r: r.start(Pay, "x" * 5000, ONE), InvalidId, "has 5000 characters once encoded"),
    "get_without_id": (lambda r: r.get(Pay, None), InvalidId, "the saga id None is not text"),
    "input_of_another_type": (lambda r: r.start(Pay, "x", ANY("1")), InvalidInput, r"got `str` - at `\$\.number`"),
    "no_input": (lambda r: r.start(Pay, "x", None), InvalidInput, "Pay: not an input of type Order"),
    "attribute_of_a_number": (lambda r: r.start(Pay, "x", ONE, attributes={"a": 1}), InvalidInput, "short texts"),
    "status_misspelt": (lambda r: r.list(status="stuk"), InvalidInput, "status='stuk': one of delayed, running"),
    "limit_of_nothing": (lambda r: r.list(limit=0), InvalidInput, "limit=0: at least 1, a whole number, or None"),
    "limit_of_text": (lambda r: r.list(limit="5"), InvalidInput, "limit='5': at least 1, a whole number"),
    "attributes_in_a_list": (lambda r: r.list(attributes=["a"]), InvalidInput, "a mapping of names to texts"),
    "time_as_text": (lambda r: r.list(created_after="now"), InvalidInput, "'now' is not a time: say a datetime"),
    "time_without_zone": (
        lambda r: r.list(created_after=datetime.now(UTC).replace(tzinfo=None)), InvalidInput, "has no time zone: say"
    ),
    "time_ago": (lambda r: r.list(created_after=timedelta(1)), InvalidInput, "is not a time: say a datetime with"),
    "unknown_get": (lambda r: r.get(Pay, "no"), UnknownSaga, "under Pay.no: .* or it is in another store or namespace"),
    "unknown_describe": (lambda r: r.describe(Pay, "no"), UnknownSaga, "no saga is stored under Pay.no"),
    "unknown_history": (lambda r: r.history(Pay, "no"), UnknownSaga, "no saga is stored under Pay.no"),
    "unknown_delete": (lambda r: r.delete(Pay, "no"), UnknownSaga, "no saga is stored under Pay.no"),
    "unknown_signal": (lambda r: r.signal(Wait, "no", Wait.approved, "me"), UnknownSaga, "stored under Wait.no"),
    "payload_of_another_type": (
        lambda r: r.signal(Wait, "waits", Wait.approved, 7), InvalidInput, "the payload is not what approved takes"
    ),
    "signal_without_payload": (lambda r: r.signal(Wait, "waits", Wait.approved), TypeError, "'payload'"),
    "signal_of_another_saga": (
        lambda r: r.signal(Pay, "done", Wait.approved, "me"), InvalidInput, "Wait.approved is not a node of Pay"
    ),
    "delete_of_the_running": (
        lambda r: r.delete(Wait, "waits"), NotAllowed, "is unfinished: cancel or terminate it, wait for its end"
    ),
    "delete_of_the_stuck": (lambda r: r.delete(Hold, "stuck"), NotAllowed, "is unfinished: cancel or"),
    "bulk_misspelt": (lambda r: r.bulk("retri", [], reason="r"), InvalidInput, "did you mean 'retry'"),
    "bulk_dry_run_of_text": (lambda r: r.bulk("retry", [], reason="r", dry_run="no"), InvalidInput, "say True or F"),
    "bulk_without_reason": (lambda r: r.bulk("retry", []), TypeError, "'reason'"),
    "bulk_of_ids": (lambda r: r.bulk("retry", ["Pay.x"], reason="r"), InvalidInput, r"not a SagaInfo: take the items"),
}  # fmt: skip
HANDLE_CALLS: dict[str, tuple[str, Call, type[Exception], str]] = {
    "retry_of_the_running": ("waits", lambda h: h.retry(), NotAllowed, "it is running, not stuck: what has failed is"),
    "retry_of_the_done": ("done", lambda h: h.retry(), NotAllowed, "it cannot be retried: the saga is over"),
    "cancel_of_the_done": ("done", lambda h: h.cancel(), TooLate, "too late to cancel: it is over"),
    "cancel_for_a_number": ("waits", lambda h: h.cancel(7), InvalidInput, r"`str`, got `int` - at `\$\.reason`"),
    "step_misspelt": ("stuck", lambda h: h.complete_step("sent", "x", "r"), InvalidInput, "no step 'sent'; did you"),
    "result_of_another_type": ("stuck", lambda h: h.complete_step("send", 7, "r"), InvalidInput, "not what send takes"),
}  # fmt: skip


class Strange(Saga[Order]):
    @step(compensate=None)
    async def go(self, order: Order, ctx: Context) -> str:
        return ""


@pytest.fixture
async def started() -> Any:
    """Yield a runtime with three sagas: completed, waiting and stuck."""
    async with sagakit.open_runtime("memory:", sagas=[Pay(), Wait(), Hold()]) as runtime:
        handles: dict[str, Any] = {
            "done": await runtime.start(Pay, "done", ONE),
            "waits": await runtime.start(Wait, "waits", ONE),
            "stuck": await runtime.start(Hold, "stuck", ONE),
        }
        await handles["done"].outcome()
        await handles["stuck"].wait(or_stuck=True)
        yield runtime, handles


@pytest.mark.parametrize("name", RUNTIME_CALLS)
async def test_a_wrong_call_says_what_to_write(started: Any, name: str) -> None:
    call, error, says = RUNTIME_CALLS[name]
    with trio.fail_after(60), pytest.raises(error, match=says):
        await call(started[0])


@pytest.mark.parametrize("name", HANDLE_CALLS)
async def test_a_verb_that_cannot_be_applied_says_why(started: Any, name: str) -> None:
    which, call, error, says = HANDLE_CALLS[name]
    with trio.fail_after(60), pytest.raises(error, match=says):
        await call(started[1][which])


@pytest.mark.parametrize("id", ["order 7/a.b", "a\nb"])
async def test_any_text_is_an_id(started: Any, id: str) -> None:
    assert await started[0].execute(Pay, id, ONE) == Completed("done")


def test_a_stuck_saga_under_run_says_where_it_is_and_what_to_do() -> None:
    says = (
        r"Hold\.one is stuck at send \(attempt 1\): send: blocked, OSError\('no route'\).*It stays as it is: mend the"
    )
    with pytest.raises(SagaStuck, match=says):
        sagakit.run(Hold(), "one", ONE, url="memory:")
