"""A definition compiles to order, positions, digest and diagram; types mean what checkers think."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagakit import Context, RetryPolicy, Saga, child, each, signal, step, timer
from sagakit.definition import Plan, compiled
from sagakit.definition.plan import NodePlan, Retries, UndoPlan
from sagakit.errors import InvalidInput

from tests.engine.plans import plans
from tests.sagas import BookTrip


def plan_of(saga: type[Saga[Any, Any]]) -> Plan:
    return compiled(saga).plan


def after(saga: type[Saga[Any, Any]]) -> dict[str, tuple[str, ...]]:
    return {node.name: node.after for node in plan_of(saga).nodes}


def test_steps_without_dependencies_run_in_the_order_of_definition() -> None:
    class InOrder(Saga[str]):
        @step(compensate=None)
        async def one(self, order: str, ctx: Context) -> str: ...

        @step(compensate=None)
        async def two(self, order: str, ctx: Context) -> str: ...

        @step(compensate=None)
        async def three(self, order: str, ctx: Context) -> str: ...

    assert after(InOrder) == {"one": (), "two": ("one",), "three": ("two",)}


def test_dependencies_give_the_order_and_the_arguments() -> None:
    class Diamond(Saga[str]):
        @step(compensate=None)
        async def top(self, order: str, ctx: Context) -> int: ...

        @step(top, compensate=None)
        async def left(self, order: str, top: int, ctx: Context) -> str: ...

        @step(top, compensate=None)
        async def right(self, order: str, top: int, ctx: Context) -> bytes: ...

        @step(left, right, compensate=None)
        async def bottom(self, order: str, left: str, right: bytes, ctx: Context) -> None: ...

        @step(compensate=None)
        async def last(self, order: str, ctx: Context) -> None: ...

        @step(compensate=None, after=(top,))
        async def beside(self, order: str, ctx: Context) -> None: ...

        @step(compensate=None, after=())
        async def alone(self, order: str, ctx: Context) -> None: ...

    assert after(Diamond) == {
        "top": (),
        "left": ("top",),
        "right": ("top",),
        "bottom": ("left", "right"),
        "last": ("bottom",),
        "beside": ("top",),
        "alone": (),
    }
    assert plan_of(Diamond).by_name["bottom"].inputs == ("left", "right")
    assert plan_of(Diamond).by_name["beside"].inputs == ()


def test_options_arrive_in_the_plan() -> None:
    class Tuned(Saga[str], name="tuned", version=3, deadline=timedelta(hours=1)):
        @step(
            timeout=timedelta(seconds=7),
            retry=RetryPolicy(max_attempts=2, initial_interval=timedelta(seconds=1), multiplier=3.0),
        )
        async def pay(self, order: str, ctx: Context) -> str: ...

        @pay.compensate(retry=RetryPolicy(max_attempts=None), timeout=timedelta(seconds=9))
        async def refund(self, order: str, paid: str | None, ctx: Context) -> None: ...

        @step(pivot=True, on_unknown="ask")
        async def ship(self, order: str, ctx: Context) -> str: ...

        @step
        async def mail(self, order: str, ctx: Context) -> str: ...

    plan = plan_of(Tuned)
    assert (plan.saga_type, plan.version, plan.deadline) == ("tuned", 3, 3600.0)
    pay = plan.by_name["pay"]
    assert pay.timeout == 7
    assert pay.retries == Retries(max_attempts=2, initial_interval=1.0, multiplier=3.0, max_interval=30.0)
    assert pay.undo == UndoPlan(retries=Retries(max_attempts=None), timeout=9.0)
    assert [(node.name, node.position) for node in plan.nodes] == [
        ("pay", "before"), ("ship", "pivot"), ("mail", "after"),
    ]  # fmt: skip
    assert plan.pivot is plan.by_name["ship"]
    assert plan.by_name["ship"].on_unknown == "ask"


@given(plan=plans())
def test_the_digest_covers_topology_names_and_types_only(plan: Plan) -> None:
    def altered(change: Callable[[NodePlan], NodePlan]) -> str:
        nodes = (*plan.nodes[:-1], change(plan.nodes[-1]))
        return msgspec.structs.replace(plan, nodes=nodes).digest

    def with_(**fields: Any) -> Callable[[NodePlan], NodePlan]:
        return lambda node: msgspec.structs.replace(node, **fields)

    for tuned in (with_(timeout=99.0), with_(retries=Retries(max_attempts=77)), with_(on_unknown="ask")):
        assert altered(tuned) == plan.digest
    for other in (
        with_(name="other"),
        with_(result_type="Other"),
        with_(after=("nowhere",)),
        with_(kind="timer" if plan.nodes[-1].kind != "timer" else "step"),
    ):
        assert altered(other) != plan.digest
    assert msgspec.structs.replace(plan, version=plan.version + 1, deadline=5.0).digest == plan.digest
    assert msgspec.structs.replace(plan, input_type="Other").digest != plan.digest


@given(plan=plans(), data=st.data())
def test_descendants_are_all_that_come_after(plan: Plan, data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(plan.nodes))
    found: set[str] = set()
    for other in plan.nodes:
        if node.name in other.after or found & set(other.after):
            found.add(other.name)
    assert plan.descendants[node.name] == found


def test_what_is_no_mistake() -> None:
    @dataclass
    class Wide:
        price: float

    class Sized(Protocol):
        price: float

    class Fine(Saga[str, float]):
        @step(compensate=None, when=partial(lambda least, order, ctx: len(order) > least, 1))
        async def one(self, order: str, ctx: Context) -> int: ...

        @step(one, compensate=None, when=lambda *given: True)
        async def two(self, order: str, one: float | None, ctx: Context) -> Wide: ...

        @step(two, compensate=None)
        async def three(self, order: str, two: Sized | None, ctx: Context, *, extra: int = 1) -> list[str]: ...

        @each(three, sorted)
        async def four(self, order: str, item: str, ctx: Context) -> None: ...

        @four.compensate
        async def undo_four(self, order: str, item: str, four: None, ctx: Context) -> None: ...

        @staticmethod
        def output(input: str, ctx: Context) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            return 1

    assert list(compiled(Fine).nodes) == ["one", "two", "three", "four"]


def test_only_the_context_is_asked_for_results() -> None:
    class Service:
        ship = "by sea"

        def result(self, what: str) -> str:
            return what

    service = Service()

    class Asks(Saga[str]):
        @step(compensate=None)
        async def pay(self, order: str, ctx: Context) -> str:
            return service.result(Service.ship)

        @step(compensate=None)
        async def ship(self, order: str, ctx: Context) -> str:
            return order

    assert list(compiled(Asks).nodes) == ["pay", "ship"]


def test_the_diagram() -> None:
    assert BookTrip.diagram() == EXPECTED


EXPECTED = """\
flowchart TD
    %% BookTrip version 1
    hotel["hotel"]
    flight["flight"]
    tickets((("tickets")))
    hotel --> flight
    flight --> tickets
    hotel -.-> undo_hotel(["undo hotel"])
    flight -.-> undo_flight(["undo flight"])
    classDef undo stroke-dasharray: 4 4
    class undo_hotel,undo_flight undo
"""


@pytest.mark.parametrize("value", [1, {"city": 3}, None, BookTrip])
def test_an_input_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="BookTrip: not an input of type Trip"):
        compiled(BookTrip).encode_input(value)


class Inner(Saga[str]):
    rest = timer(timedelta(1))


class Shown(Saga[str, None]):
    @step
    async def pack(self, order: str, ctx: Context) -> list[str]: ...

    @pack.compensate
    async def unpack(self, order: str, packed: list[str] | None, ctx: Context) -> None: ...

    @step(on_unknown="ask", compensate=None)
    async def pay(self, order: str, ctx: Context) -> str: ...

    @each(pack, compensate=None)
    async def label(self, order: str, item: str, ctx: Context) -> str: ...

    sent = signal(str)
    wait = timer(timedelta(1))
    part = child(Inner, lambda order, ctx: order, when=lambda order, ctx: True)


def test_nodes_and_sagas_are_shown_by_their_names() -> None:
    nodes = [Shown.pack, Shown.pay, Shown.label, Shown.sent, Shown.wait, Shown.part]
    assert [repr(node) for node in nodes] == [
        "<Step Shown.pack>",
        "<Step Shown.pay>",
        "<Each Shown.label>",
        "<Signal Shown.sent>",
        "<Timer Shown.wait>",
        "<Child Shown.part>",
    ]
    assert repr(Shown.unpack) == "<Undo Shown.unpack>"
    assert repr(Shown()) == "Shown(...)"
    assert repr(signal(str)) == "<Signal>", "it has no name before its class has"
