"""A saga has steps, class arguments and the meaning of type variables from its bases."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, wraps
from typing import Any, Generic

import pytest
from sagakit import Completed, Context, DefinitionError, Saga, signal, step
from sagakit.definition import compiled
from sagakit.testing import simulate
from typing_extensions import TypeVar

D = TypeVar("D")
T = TypeVar("T")


@dataclass
class Order:
    number: int


class Audited:
    """A mixin, no saga."""

    @step(compensate=None)
    async def audit(self, order: Order, ctx: Context) -> int:
        return order.number


class Counted:
    """Another."""

    @step(compensate=None)
    async def count(self, order: Order, ctx: Context) -> None: ...


class Notified(Saga[D, T], Generic[D, T]):
    """Abstract: its types are its subclasses' to say."""

    @step(compensate=None, after=())
    async def notify(self, order: D, ctx: Context) -> D:
        return order

    told = signal(str, timeout=timedelta(seconds=1), on_timeout="continue")


def test_steps_of_mixins_are_steps_last_base_first() -> None:
    class Place(Audited, Counted, Saga[Order, int]):
        @step(compensate=None)
        async def pay(self, order: Order, ctx: Context) -> None: ...

        def output(self, input: Order, ctx: Context) -> int:
            return ctx.result(Place.audit)

    assert list(compiled(Place).nodes) == ["count", "audit", "pay"]
    trace = simulate(Place(), Order(3))
    assert trace.calls.names() == ["count", "audit", "pay"]
    assert trace.outcome == Completed(3)


def test_a_saga_of_a_mixin_alone() -> None:
    class Place(Audited, Saga[Order]):
        pass

    assert list(compiled(Place).nodes) == ["audit"]


def test_a_step_may_come_after_one_of_a_mixin() -> None:
    class Place(Audited, Saga[Order]):
        @step(Audited.audit, compensate=None)
        async def pay(self, order: Order, audited: int, ctx: Context) -> None: ...

    assert compiled(Place).plan.by_name["pay"].inputs == ("audit",)


def test_a_generic_base_has_the_types_that_the_saga_says() -> None:
    class Place(Notified[Order, Order]):
        def output(self, input: Order, ctx: Context) -> Order:
            return ctx.result(Place.notify)

    assert list(compiled(Place).nodes) == ["notify", "told"]
    assert compiled(Place).plan.by_name["notify"].result_type.endswith("Order")
    assert simulate(Place(), Order(3)).outcome == Completed(Order(3))


def test_each_base_has_type_variables_of_its_own() -> None:
    class One(Generic[D]):
        @step(compensate=None)
        async def one(self, order: int, ctx: Context) -> D: ...

    class Two(Generic[D]):
        @step(compensate=None)
        async def two(self, order: int, ctx: Context) -> list[D]: ...

    class Both(One[str], Two[bytes], Saga[int]):
        pass

    assert {node.name: node.result_type for node in compiled(Both).plan.nodes} == {"one": "str", "two": "list[bytes]"}


def test_a_generic_base_is_no_saga() -> None:
    with pytest.raises(
        DefinitionError, match="Notified is generic: derive a class from it that says what its types are"
    ):
        compiled(Notified)
    with pytest.raises(DefinitionError, match=r"Bare: say what its input is: class Bare\(Notified\[D, T\]\)"):

        class Bare(Notified):  # type: ignore[type-arg]
            pass


def test_what_a_class_does_not_say_it_has_from_its_bases() -> None:
    class Base(Saga[Order], name="base", deadline=timedelta(seconds=1), version=3, backend="asyncio"):
        pass

    class Silent(Audited, Base):
        pass

    class Loud(Audited, Base, name="loud", deadline=None, version=4, backend="trio"):
        pass

    def header(saga: type[Saga[Any, Any]]) -> tuple[object, ...]:
        definition = compiled(saga)
        audit = definition.nodes["audit"].action
        assert audit is not None
        return (definition.plan.saga_type, definition.plan.version, definition.plan.deadline, audit.runner)

    assert header(Silent) == ("base", 3, 1.0, "asyncio")
    assert header(Loud) == ("loud", 4, None, "trio")


def test_a_decorator_that_makes_the_class_anew_keeps_its_arguments() -> None:
    @dataclass(slots=True)
    class Place(Audited, Saga[Order], name="place", version=3):
        shop: str

    assert (compiled(Place).plan.saga_type, compiled(Place).plan.version) == ("place", 3)


@pytest.mark.parametrize("instead", [None, lambda self: None])
def test_hiding_a_step_of_a_base(instead: object) -> None:
    with pytest.raises(DefinitionError, match=r"Place\.audit: hides the one in Audited: give it another name"):

        class Place(Audited, Saga[Order]):
            audit = instead  # type: ignore[assignment]


def test_hiding_a_compensation_of_a_base() -> None:
    class Charged:
        @step
        async def charge(self, order: Order, ctx: Context) -> int: ...

        @charge.compensate
        async def refund(self, order: Order, charged: int | None, ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match=r"Place\.refund: hides the one in .*Charged: give it another name"):

        class Place(Charged, Saga[Order]):
            async def refund(self, order: Order, charged: int | None, ctx: Context) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_step_is_no_static_method(kind: Callable[..., Any]) -> None:
    with pytest.raises(DefinitionError, match=r"Place\.pay: a step is called with the saga as self: remove"):

        class Place(Saga[Order]):
            pay = kind(Audited.audit)


def hiding(fn: Any) -> Any:
    """A decorator as people write them for functions."""

    @wraps(fn)
    def call(*args: Any) -> Any:
        return fn(*args)

    return call


@pytest.mark.parametrize("above", [hiding, property, cached_property], ids=lambda above: above.__name__)
def test_a_decorator_above_a_step_is_refused(above: Callable[..., Any]) -> None:
    """The step was no step any more, and the saga completed without it."""
    with pytest.raises(DefinitionError, match=r"Place\.pay: a decorator is above the node, and hides it: put it below"):

        class Place(Saga[Order]):
            @step(compensate=None)
            async def first(self, order: Order, ctx: Context) -> None: ...

            @above
            @step(compensate=None)
            async def pay(self, order: Order, ctx: Context) -> None: ...
