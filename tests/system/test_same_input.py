"""Equal values are the same input, in whatever order they are written as JSON (P10)."""

# mypy: disable-error-code="valid-type"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import AlreadyStarted, Completed, Context, Saga, open_runtime, signal, step
from sagakit.store.memory_server import MemoryServer

from tests.servers import Server
from tests.system.members import killable
from tests.system.typed_orders import OPTIONAL, record_type

Clock = trio.testing.MockClock


class Colour(Enum):
    """An enum whose members have no order. A set of them is iterated in another order in each process."""

    RED = "red"
    BLUE = "blue"


class Seat(msgspec.Struct, frozen=True):
    """A value whose hash is constant. A set of them is iterated in the order in which it was filled."""

    number: int

    def __hash__(self) -> int:
        return 0


class Order(msgspec.Struct):
    price: float = 5.0
    seats: set[Seat] = set()
    counts: dict[str, int] = {}
    by_row: dict[int, str] = {}
    colours: dict[Colour, int] = {}


class Book(Saga[Order, int]):
    go = signal(int)

    @step(go, compensate=None)
    async def seats(self, input: Order, go: int, ctx: Context) -> int:
        return go

    def output(self, input: Order, ctx: Context) -> int:
        return ctx.result(Book.seats)


ONE, TWO = Seat(1), Seat(2)


@pytest.mark.parametrize(
    ("first", "again", "other"),
    [
        (Order(price=5.0), Order(price=5), Order(price=6)),
        (Order(seats={ONE, TWO}), Order(seats={TWO, ONE}), Order(seats={TWO})),
        (Order(counts={"a": 1, "b": 2}), Order(counts={"b": 2, "a": 1}), Order(counts={"a": 2, "b": 1})),
        (Order(by_row={1: "a", 2: "b"}), Order(by_row={2: "b", 1: "a"}), Order(by_row={1: "b", 2: "a"})),
        (
            Order(colours={Colour.RED: 1, Colour.BLUE: 2}),
            Order(colours={Colour.BLUE: 2, Colour.RED: 1}),
            Order(colours={Colour.RED: 2}),
        ),
    ],
)
async def test_p10_equal_inputs_are_the_same_input(
    first: Order, again: Order, other: Order, server: Server, namespace: str
) -> None:
    assert msgspec.json.encode(first) != msgspec.json.encode(again)
    async with open_runtime(server.url, sagas=[Book()], namespace=namespace) as runtime:
        begun = await runtime.start(Book, "1", first)
        await runtime.start(Book, "1", again)  # while it runs
        with pytest.raises(AlreadyStarted, match="different input"):
            await runtime.start(Book, "1", other)
        await runtime.signal(Book, "1", Book.go, 7)
        assert await begun.outcome() == Completed(7)
    async with open_runtime(server.url, sagas=[Book()], namespace=namespace) as runtime:
        assert await runtime.execute(Book, "1", again) == Completed(7)  # from the archive
        with pytest.raises(AlreadyStarted, match="different input"):
            await runtime.start(Book, "1", other)


class Pay(msgspec.Struct):
    """An order that equals another one with any amount."""

    order: str
    amount: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pay) and self.order == other.order


class Thing(msgspec.Struct, frozen=True):
    """A value whose comparison raises."""

    number: int

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> Any:
        raise ValueError("not with me")


class Several(msgspec.Struct):
    options: dict[str, Any] = {}
    pay: Pay = msgspec.field(default_factory=lambda: Pay("o"))
    things: set[Thing] = set()


class Ask(Saga[Several, None]):
    @step(compensate=None)
    async def ask(self, input: Several, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("first", "other", "says"),
    [
        (Several(options={"notify": True}), Several(options={"notify": 1}), "different input"),
        (Several(pay=Pay("o", 10)), Several(pay=Pay("o", 10_000)), "different input"),
        (Several(things={Thing(0), Thing(8)}), Several(things={Thing(8), Thing(0)}), "cannot be compared"),
    ],
    ids=["true is not 1", "what == leaves out", "what cannot be compared"],
)
async def test_p10_an_input_with_another_value_is_another_input(
    first: Several, other: Several, says: str, server: Server, namespace: str
) -> None:
    async with open_runtime(server.url, sagas=[Ask()], namespace=namespace) as runtime:
        await runtime.execute(Ask, "1", first)
        await runtime.execute(Ask, "1", first)
        with pytest.raises(AlreadyStarted, match=says):
            await runtime.start(Ask, "1", other)


def priced(*fields: Any) -> tuple[Saga[Any, Any], Any]:
    """Return a saga whose input may have more fields, and the class of the input."""
    Cart = record_type("Cart", *fields)

    class Priced(Saga[Cart, str]):
        go = signal(int)

        def output(self, input: Cart, ctx: Context) -> str:
            return str(msgspec.to_builtins(input))

    return Priced(), Cart


async def test_p10_defaults_are_filled_before_inputs_are_compared(autojump_clock: Clock) -> None:
    server = MemoryServer()
    (old, Old), (new, New) = priced(), priced(OPTIONAL)
    async with killable() as start:
        first = await start(server, old)
        handle = await first.runtime.start(type(old), "1", Old("c"))
        second = await start(server, new)
        await second.runtime.start(type(new), "1", New("c"))
        await second.runtime.start(type(new), "1", New("c", "EUR"))
        with pytest.raises(AlreadyStarted):
            await second.runtime.start(type(new), "1", New("c", "USD"))
        await first.runtime.apply(handle.key, "signal", step="go", payload=msgspec.Raw(b"1"))
        assert await handle.outcome() == Completed("{'ref': 'c'}")
        with trio.fail_after(1000):
            while await first.runtime.list_active():  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        await second.runtime.start(type(new), "1", New("c"))
        with pytest.raises(AlreadyStarted):
            await second.runtime.start(type(new), "1", New("c", "USD"))
