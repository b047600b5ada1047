"""Every plan of up to four nodes, with every single fault at every point of its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from itertools import combinations, product
from typing import Any, get_args

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import Kind, NodePlan, OnUnknown, Plan, Position, Retries, UndoPlan
from sagakit.engine import ENDS

from tests.engine.judge import Broken
from tests.engine.participants import FATES, Fate
from tests.engine.world import World

pytestmark = pytest.mark.long

_UNDO = UndoPlan(retries=Retries(max_attempts=2, initial_interval=1.0), timeout=30)
_DRAWS: dict[str, Any] = {"has a parent": 1, "condition": "run", "items": 2, "due": 20.0}
_FATES = tuple(sorted(get_args(Fate)))


class Calm:
    """A source of draws in place of Hypothesis: only planned things go wrong."""

    def __init__(self, **draws: Any) -> None:
        self._draws = _DRAWS | draws

    def number(self, least: int, most: int, what: str) -> int:
        number: int = self._draws.get(what, 2)
        return number

    def pick(self, choices: Any, what: str) -> Any:
        return self._draws[what]


class Schedule(World):
    """A straight run with one fault at one point."""

    def points(self) -> Iterator[tuple[str, Schedule]]:
        """Run straight to the end, and yield each fault that makes a difference, with a copy of the world before it."""
        for _ in self._until_the_end():
            for fault in self._faults():
                yield fault, self._copy()

    def run_with(self, fault: str) -> None:
        """Let the fault happen now, and run straight to the end."""
        self._happens(fault)
        for _ in self._until_the_end():
            pass
        if fault == "unread" and self.record.status != "completed":
            raise Broken(f"{self.record.status}, though all could be read once an operator had said retry")

    def _until_the_end(self) -> Iterator[None]:
        for _ in range(200):
            if self.record.status in ENDS or self.record.status == "stuck":
                self.judge_end()
                return
            yield
            self._happens(None)
        raise AssertionError(f"no end: {self.record}")

    def _copy(self) -> Schedule:
        """Return a world that goes its own way from here; it shares what never changes in place."""
        twin, services = copy(self), copy(self.participants)
        twin.participants = services
        for books in (vars(twin), vars(services)):
            books |= {name: _own(value) for name, value in books.items() if isinstance(value, dict | list | set)}
        return twin

    def _faults(self) -> list[str]:
        """Return the faults that make a difference here. With each other one the run would be the straight one again.

        "done" is what the straight run does; without a signal there is nothing to send; without a call under way only a
        child can refuse.
        """
        kinds = {self.plan.node(name).kind for name, log in self.record.steps.items() if log.state == "awaiting"}
        calls = [fault for fault in (*_FATES, "unread") if fault != "done"] if self.running else []
        refusal = ["reject"] if "child" in kinds and not self.running else []
        message = ["message"] if any(node.kind == "signal" for node in self.plan.nodes) else []
        return [*calls, *refusal, *message, "crash", "cancel"]

    def _happens(self, fault: str | None) -> None:
        match fault:
            case "crash":
                self.crash()
            case "cancel":
                self._cancel("cancel")
            case "message":
                for name, node in self.plan.by_name.items():
                    if node.kind == "signal":
                        self._signal(name)
            case "unread" if self.running:
                self.unread(min(self.running))
                self._tell("retry")
            case "unread":
                self._goes_on("done")
            case None | "done" | "not_done" | "lost" | "never" | "reject" | "later":
                self._goes_on(fault or "done")
            case _:
                raise AssertionError(fault)

    def _goes_on(self, fate: Any) -> None:
        if self.running:
            self.end(min(self.running), fate)
            return
        for name, log in self.record.steps.items():
            if log.state == "awaiting" and self.plan.node(name).kind == "signal":
                self._signal(name)
                return
            if log.state == "awaiting" and self.plan.node(name).kind == "child":
                self._child_ends(name, failed=fate == "reject")
                return
        assert self.record.wake_at is not None, f"P8: nothing will ever happen any more: {self.record}"
        self.now = max(self.now, self.record.wake_at)
        self._turn()


def _own(value: Any) -> Any:
    """Return a copy of books, down to the entries that change in place."""
    if isinstance(value, dict) and any(isinstance(entry, set) for entry in value.values()):
        return {key: set(entry) for key, entry in value.items()}
    return copy(value)


def _shapes(count: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield every way in which node n may come after some of the nodes before it."""
    options = [[subset for size in range(n + 1) for subset in combinations(range(n), size)] for n in range(count)]
    yield from product(*options)


def _node(number: int, after: tuple[int, ...], kind: Kind, policy: OnUnknown, position: Position) -> NodePlan:
    before = position == "before"
    node = NodePlan(
        name=f"s{number}",
        kind=kind,
        after=tuple(f"s{other}" for other in after),
        position=position,
        retries=Retries(max_attempts=2, initial_interval=1.0),
        max_concurrent=1,
        prepared=kind in ("each", "child"),
        wait=15.0 if kind == "timer" else None,
        child_type="C" if kind == "child" else "",
        undo=_UNDO if before and kind in ("step", "each", "child") else None,
    )
    if kind not in ("step", "each"):
        return node
    asked = "retry" if policy == "undo" and not before else policy
    return structs.replace(node, on_unknown=asked, has_check=asked == "check")


def _with_pivot(shape: tuple[tuple[int, ...], ...], pivot: int | None) -> tuple[tuple[int, ...], ...]:
    """Return the plan with a pivot, which comes after all nodes before it and before all later ones."""
    if pivot is None:
        return shape
    after = [*shape[:pivot], tuple(range(pivot))]
    after += [tuple(other for other in later if other >= pivot) or (pivot,) for later in shape[pivot + 1 :]]
    return tuple(after)


def _without_implied(shape: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return the plan without the edges that follow from others: they change no order."""
    before: list[set[int]] = []
    for after in shape:
        before.append({*after}.union(*(before[other] for other in after)))
    return tuple(tuple(one for one in after if not any(one in before[other] for other in after)) for after in shape)


def _plans(count: int, kinds: tuple[Kind, ...], policies: tuple[OnUnknown, ...]) -> Iterator[Plan]:
    found: dict[bytes, Plan] = {}  # a policy makes no difference to a plan without steps, for one
    for pivot in (None, *range(count)):
        for shape in {_without_implied(_with_pivot(shape, pivot)) for shape in _shapes(count)}:
            for chosen in product(kinds, repeat=count):
                if pivot is not None and chosen[pivot] not in ("step", "child"):
                    continue
                for policy in policies:
                    plan = _plan(shape, chosen, policy, pivot)
                    found[msgspec.json.encode(plan)] = plan
    yield from found.values()


def _plan(shape: tuple[tuple[int, ...], ...], kinds: tuple[Kind, ...], policy: OnUnknown, pivot: int | None) -> Plan:
    positions: list[Position] = [
        "before" if pivot is None or number < pivot else "pivot" if number == pivot else "after"
        for number in range(len(shape))
    ]
    nodes = (_node(n, after, kinds[n], policy, positions[n]) for n, after in enumerate(shape))
    return Plan(saga_type="T", nodes=tuple(nodes))


def _explore(plans: Iterator[Plan], draws: Mapping[str, Any] = {}) -> int:
    runs = 0
    for plan in plans:
        for fault, world in Schedule(plan, Calm(**draws)).points():
            turn = world.turns
            try:
                world.run_with(fault)
            except Exception as error:
                plan_of_it = msgspec.json.format(msgspec.json.encode(plan)).decode()
                pytest.fail(f"{error}\n{fault} after {turn} turns of {plan_of_it}")
            runs += 1
    return runs


def test_every_order_of_up_to_four_steps() -> None:
    assert set(FATES) == set(_FATES)
    runs = sum(_explore(_plans(count, ("step",), ("retry", "check", "ask", "undo"))) for count in (1, 2, 3, 4))
    assert runs > 8_000


def test_every_kind_of_node_in_plans_of_up_to_three() -> None:
    runs = sum(_explore(_plans(count, get_args(Kind), ("retry",))) for count in (1, 2, 3))
    assert runs > 10_000


def test_every_plan_of_up_to_two_nodes_that_starts_later_and_with_a_signal() -> None:
    draws = {"is delayed": 0, "starts with a signal": 0}
    plans = (_plans(count, get_args(Kind), ("retry", "check", "ask", "undo")) for count in (1, 2))
    assert sum(_explore(some, draws) for some in plans) > 5_000
