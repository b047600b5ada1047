"""The Hypothesis strategy of faults."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sagakit.definition import NodePlan, Saga, compiled
from sagakit.engine.keys import CallKind
from sagakit.testing.explorer import ONCE
from sagakit.testing.schedule import (
    ALL_CALLS,
    CallFault,
    Fault,
    Faults,
    MessageAt,
    RemoteFault,
    WriteFault,
    remote_faults,
)

LAST_WRITE = 40
"""The last write that a drawn fault may strike: few sagas have more."""


def faults(saga: type[Saga[Any, Any]], *, max_faults: int = 2) -> st.SearchStrategy[Faults]:
    """Return a strategy for the faults of a run of this saga: at most `max_faults` at once; it shrinks to none.

    A drawn fault may not strike the run: the saga may end before the write or the call that it is planned for.
    """
    plan = compiled(saga).plan
    numbers = st.integers(1, LAST_WRITE)
    kinds: list[st.SearchStrategy[Fault]] = [
        st.builds(WriteFault, numbers, st.sampled_from(["crash_before", "crash_after"])),
        st.builds(MessageAt, numbers),
    ]
    kinds += [_commands(node) for node in plan.nodes if node.kind == "remote"]
    kinds += [_calls(node) for node in plan.nodes if node.kind in ("step", "each")]
    return st.lists(st.one_of(kinds), max_size=max_faults, unique=True).map(lambda found: Faults(tuple(found)))


def _calls(node: NodePlan) -> st.SearchStrategy[Fault]:
    steps = st.just(node.name) if node.kind == "step" else st.integers(0, 3).map(lambda number: f"{node.name}/{number}")
    return st.sampled_from(_kinds(node)).flatmap(
        lambda call: st.builds(
            CallFault,
            steps,
            st.just(call),
            st.sampled_from(ONCE[call]),
            first=st.integers(1, 3),
            calls=st.sampled_from([1, ALL_CALLS]),
        )
    )


def _commands(node: NodePlan) -> st.SearchStrategy[Fault]:
    return st.sampled_from(_kinds(node)).flatmap(
        lambda call: st.builds(
            RemoteFault,
            st.just(node.name),
            st.just(call),
            st.sampled_from(remote_faults(node, call)),
            first=st.integers(1, 3),
            commands=st.sampled_from([1, ALL_CALLS]),
        )
    )


def _kinds(node: NodePlan) -> list[CallKind]:
    calls: list[CallKind] = ["do"]
    if node.has_check:
        calls.append("check")
    if node.undo is not None:
        calls.append("undo")
    return calls
