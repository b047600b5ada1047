"""Random plans: every plan that the compiler could make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from hypothesis import strategies as st
from sagakit.definition.plan import Kind, NodePlan, OnUnknown, Plan, Position, Retries, UndoPlan

from tests.engine.draws import Drawn, Draws


@st.composite
def plans(draw: st.DrawFn, *, max_nodes: int = 5) -> Plan:
    """Draw a plan with Hypothesis."""
    return drawn_plan(Drawn(lambda strategy, what: draw(strategy)), max_nodes=max_nodes)


def drawn_plan(draws: Draws, *, max_nodes: int = 5, favored: Kind = "step") -> Plan:
    """Draw a plan that the compiler could make: a DAG, perhaps with a pivot, with any policies.

    Half of the nodes are of the `favored` kind, where it may be.
    """
    count = draws.number(1, max_nodes, "nodes")
    names = [f"s{number}" for number in range(count)]
    pivot = draws.number(0, count - 1, "pivot") if draws.number(0, 1, "has a pivot") else None
    after: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(names):
        if pivot is not None and number == pivot:
            after[name] = tuple(names[:number])
        elif pivot is not None and number > pivot:
            after[name] = _up_to_two(draws, names[pivot:number]) or (names[pivot],)
        else:
            after[name] = _up_to_two(draws, names[:number])
    return Plan(
        saga_type="T",
        nodes=tuple(
            _node(draws, name, after[name], _position(number, pivot), favored) for number, name in enumerate(names)
        ),
        deadline=draws.pick([None, 500.0], "deadline"),
        has_output=bool(draws.number(0, 1, "has an output")),
    )


def _up_to_two(draws: Draws, names: Sequence[str]) -> tuple[str, ...]:
    """Draw none of the names, one, or two different ones."""
    left = list(names)
    many = draws.number(0, min(2, len(left)), "how many")
    return tuple(left.pop(draws.number(0, len(left) - 1, "after")) for _ in range(many))


def _position(number: int, pivot: int | None) -> Position:
    if pivot is None or number < pivot:
        return "before"
    return "pivot" if number == pivot else "after"


KINDS: tuple[Kind, ...] = ("step", "each", "signal", "timer", "child")
"""Every kind of node; a test compares them with the kinds that exist."""


def _node(draws: Draws, name: str, after: tuple[str, ...], position: Position, favored: Kind) -> NodePlan:
    kinds: tuple[Kind, ...] = ("step", "child") if position == "pivot" else KINDS
    most: tuple[Kind, ...] = (favored if favored in kinds else "step",) * 3
    kind = draws.pick(most + kinds, "kind")
    node = NodePlan(
        name=name,
        kind=kind,
        after=after,
        position=position,
        condition=draws.number(0, 5, "has a condition") == 0,
        timeout=30.0,
    )
    before = position == "before"
    match kind:
        case "step" | "each":
            policies: list[OnUnknown] = ["retry", "check", "undo", "ask"] if before else ["retry", "check", "ask"]
            policy = draws.pick(policies if kind == "step" else [one for one in policies if one != "check"], "policy")
            attempts = draws.pick([1, 2, 3, None], "attempts")
            undo = UndoPlan(
                retries=Retries(
                    max_attempts=draws.pick([1, 3], "undo attempts"), initial_interval=1.0, max_interval=8.0
                ),
                timeout=30,
            )
            return msgspec.structs.replace(
                node,
                on_unknown=policy,
                has_check=policy == "check",
                retries=Retries(max_attempts=attempts, initial_interval=1.0, max_interval=8.0),
                undo=undo if before and draws.number(0, 4, "has an undo") else None,
                max_concurrent=draws.number(1, 2, "max_concurrent"),
                prepared=kind == "each",
            )
        case "signal":
            wait = draws.pick([None, 40.0], "wait")
            on_timeout: Literal["compensate", "continue"] = (
                "compensate" if wait is None else draws.pick(["compensate", "continue"], "on timeout")
            )
            return msgspec.structs.replace(node, wait=wait, on_timeout=on_timeout)
        case "timer":
            prepared = bool(draws.number(0, 1, "prepared"))
            return msgspec.structs.replace(node, prepared=prepared, wait=None if prepared else 15.0)
        case _:
            retries = Retries(max_attempts=draws.pick([1, 3, None], "starts"), initial_interval=1.0, max_interval=8.0)
            return msgspec.structs.replace(
                node,
                prepared=True,
                child_type="C",
                retries=retries,
                undo=UndoPlan(retries=Retries(max_attempts=None, initial_interval=1.0), timeout=30) if before else None,
            )
