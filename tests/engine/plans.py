"""Random plans: every plan that the compiler could make."""

from __future__ import annotations

from typing import Literal

import msgspec
from hypothesis import strategies as st
from sagakit.definition.plan import Kind, NodePlan, OnUnknown, Plan, Position, Retries, UndoPlan


@st.composite
def plans(draw: st.DrawFn, *, max_nodes: int = 5, favored: Kind = "step") -> Plan:
    """Draw a plan that the compiler could make: a DAG, perhaps with a pivot, with any policies.

    Half of the nodes are of the `favored` kind, where it may be.
    """
    count = draw(st.integers(1, max_nodes))
    names = [f"s{number}" for number in range(count)]
    pivot = draw(st.none() | st.integers(0, count - 1))
    after: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(names):
        if pivot is not None and number == pivot:
            after[name] = tuple(names[:number])
        elif pivot is not None and number > pivot:
            others = draw(st.lists(st.sampled_from(names[pivot:number]), max_size=2, unique=True))
            after[name] = tuple(others) or (names[pivot],)
        else:
            after[name] = (
                tuple(draw(st.lists(st.sampled_from(names[:number]), max_size=2, unique=True))) if number else ()
            )
    return Plan(
        saga_type="T",
        nodes=tuple(
            draw(nodes(name, after[name], _position(number, pivot), favored)) for number, name in enumerate(names)
        ),
        deadline=draw(st.none() | st.just(500.0)),
        has_output=draw(st.booleans()),
    )


def _position(number: int, pivot: int | None) -> Position:
    if pivot is None or number < pivot:
        return "before"
    return "pivot" if number == pivot else "after"


KINDS: tuple[Kind, ...] = ("step", "each", "signal", "timer", "child")
"""Every kind of node; a test compares them with the kinds that exist."""


@st.composite
def nodes(draw: st.DrawFn, name: str, after: tuple[str, ...], position: Position, favored: Kind) -> NodePlan:
    kinds: tuple[Kind, ...] = ("step", "child") if position == "pivot" else KINDS
    most: tuple[Kind, ...] = (favored if favored in kinds else "step",) * 3
    kind = draw(st.sampled_from(most + kinds))
    node = NodePlan(
        name=name, kind=kind, after=after, position=position, condition=draw(st.integers(0, 5)) == 0, timeout=30.0
    )
    before = position == "before"
    match kind:
        case "step" | "each":
            policies: list[OnUnknown] = ["retry", "check", "undo", "ask"] if before else ["retry", "check", "ask"]
            policy = draw(st.sampled_from(policies if kind == "step" else [one for one in policies if one != "check"]))
            attempts = draw(st.sampled_from([1, 2, 3, None]))
            undo = UndoPlan(
                retries=Retries(max_attempts=draw(st.sampled_from([1, 3])), initial_interval=1.0, max_interval=8.0),
                timeout=30,
            )
            return msgspec.structs.replace(
                node,
                on_unknown=policy,
                has_check=policy == "check",
                retries=Retries(max_attempts=attempts, initial_interval=1.0, max_interval=8.0),
                undo=undo if before and draw(st.integers(0, 4)) else None,
                parallel=draw(st.integers(1, 2)),
                prepared=kind == "each",
            )
        case "signal":
            wait = draw(st.none() | st.just(40.0))
            on_timeout: Literal["compensate", "continue"] = (
                "compensate" if wait is None else draw(st.sampled_from(["compensate", "continue"]))
            )
            return msgspec.structs.replace(node, wait=wait, on_timeout=on_timeout)
        case "timer":
            prepared = draw(st.booleans())
            return msgspec.structs.replace(node, prepared=prepared, wait=None if prepared else 15.0)
        case _:
            retries = Retries(max_attempts=draw(st.sampled_from([1, 3, None])), initial_interval=1.0, max_interval=8.0)
            return msgspec.structs.replace(
                node,
                prepared=True,
                child_type="C",
                retries=retries,
                undo=UndoPlan(retries=Retries(max_attempts=None, initial_interval=1.0), timeout=30) if before else None,
            )
