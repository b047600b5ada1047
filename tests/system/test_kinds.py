"""Every kind of type that people have is carried to every place of a saga, and comes back as it was."""
# annotations are not postponed: the classes of a test are made of types that it is given
# pyright: reportInvalidTypeForm=false, reportIncompatibleMethodOverride=false

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
from sagakit import Completed, Context, InvalidInput, OldSaga, Saga, child, each, open_runtime, signal, step
from sagakit.binding.saga_binding import SagaBinding
from sagakit.definition import Codec, accepts
from sagakit.engine import create
from sagakit.errors import UnreadableValue
from sagakit.testing import Send, simulate

from tests.servers import Server
from tests.system.kinds import KINDS, AsModel, Kind

kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "_") for kind in KINDS])


class Seen:
    """The values that functions were called with, by place."""

    def __init__(self) -> None:
        self.at: dict[str, Any] = {}

    def __call__(self, place: str, value: Any) -> Any:
        self.at[place] = value
        return value


def carrier(hint: Any, seen: Seen, number: int = 1) -> tuple[Any, Any]:
    """Return a saga that carries a value of this type through all places, and its child."""

    class Kid(Saga[hint, hint]):
        @step(compensate=None)
        async def take(self, value: hint, ctx: Context) -> None:
            seen("child input", value)

        def output(self, value: hint, ctx: Context) -> hint:
            return value

    class Carry(Saga[hint, hint], version=number):
        @step(compensate=None)
        async def first(self, value: hint, ctx: Context) -> hint:
            return seen("input", value)

        sent = signal(hint)

        @step(first, sent, compensate=None)
        async def second(self, value: hint, result: hint, payload: hint, ctx: Context) -> None:
            seen("result", result)
            seen("signal", payload)

        @each(second, lambda _: [seen.at["input"]], compensate=None)
        async def one(self, value: hint, item: hint, ctx: Context) -> hint:
            return seen("item", item)

        kid = child(Kid, lambda value, ctx: value)

        def output(self, value: hint, ctx: Context) -> hint:
            seen("child output", ctx.result(Carry.kid))
            items: Sequence[Any] = ctx.result(Carry.one)
            seen("items", items[0])
            return value

        def migrate(self, old: OldSaga) -> None:
            old.set_result("first", old.input)

    return Carry, Kid


PLACES = {"input", "result", "signal", "item", "items", "child input", "child output", "output"}


async def carry(kind: Kind, url: str, **options: Any) -> dict[str, Any]:
    seen = Seen()
    saga, kid = carrier(kind.hint, seen)
    async with open_runtime(url, sagas=[saga(), kid()], **options) as runtime:
        with trio.fail_after(60):
            handle = await runtime.start(saga, "1", kind.value)
            await runtime.signal(saga, "1", saga.sent, kind.value)
            outcome = await handle.outcome()
    assert isinstance(outcome, Completed)
    return {**seen.at, "output": outcome.output}


@kinds
async def test_a_value_of_each_kind_comes_back_everywhere(kind: Kind) -> None:
    found = await carry(kind, "memory:")
    assert set(found) == PLACES
    for place, value in found.items():
        assert (place, value) == (place, kind.value)
        assert type(value) is type(kind.value), place


@pytest.mark.parametrize("name", ["pydantic", "attrs", "model in dataclass", "union of models"])
async def test_a_value_comes_back_from_a_real_server(name: str, server: Server, namespace: str) -> None:
    kind = next(one for one in KINDS if one.name == name)
    found = await carry(kind, server.url, namespace=namespace)
    assert found == dict.fromkeys(PLACES, kind.value)


@kinds
def test_a_value_of_each_kind_is_migrated(kind: Kind) -> None:
    seen = Seen()
    old, new = (SagaBinding(carrier(kind.hint, seen, number)[0]()) for number in (1, 2))
    record = create(
        old.plan, saga_id="1", run="r", input=msgspec.Raw(old.definition.encode_input(kind.value)), owner="w", now=0.0
    )
    record.steps["first"].state, record.steps["first"].result = "done", record.input
    moved = new.migrate(record)
    assert new.definition.input.decode(moved.input) == kind.value
    assert new.definition.nodes["first"].result.decode(moved.steps["first"].result) == kind.value


@kinds
def test_a_wrong_value_is_refused_with_the_path_of_its_field(kind: Kind) -> None:
    with pytest.raises(UnreadableValue) as caught:
        Codec(kind.hint).decode(kind.wrong)
    assert caught.value.path == kind.path


@kinds
def test_the_schema_of_each_kind_takes_its_values_and_not_wrong_ones(kind: Kind) -> None:
    codec = Codec(kind.hint)
    schema = codec.schema()
    assert accepts(schema, msgspec.json.decode(codec.encode(kind.value)))
    if kind.name != "attrs":
        assert not accepts(schema, msgspec.json.decode(kind.wrong))


async def test_the_caller_is_told_which_field_is_wrong() -> None:
    saga, kid = carrier(AsModel, Seen())
    async with open_runtime("memory:", sagas=[saga(), kid()]) as runtime:
        with pytest.raises(InvalidInput, match=r"AsModel: Input should be greater than 0 - at `\$\.COUNT`"):
            await runtime.start(saga, "1", {"SKU": "a", "COUNT": 0})


def test_the_simulation_sends_a_model() -> None:
    saga, kid = carrier(AsModel, Seen())
    value = AsModel(sku="a")
    trace = simulate(saga(), value, send=[Send(saga.sent, value)], also=[kid()])
    assert isinstance(trace.outcome, Completed)
    assert trace.outcome.output == value
