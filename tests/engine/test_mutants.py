"""Mutants of the engine, planted by hand: the world of `world.py` must condemn each.

1 undo order forward                 P2: an undo starts before those after it are settled
2 intent not durable                 P1: effects performed from a record that was not written
3 budget not counted                 P8: a step that always fails is called for ever
4 pivot ignored by cancel            P5: an undo while the pivot is open
5 adopted attempt called again       P2/P3: the open attempt is not closed as unknown under `ask`
6 doubt forgotten                    P3: a later "not done" clears what an earlier attempt left in doubt
7 new key in doubt                   P3: an unknown attempt is retried under a new key
8 doubtful not undone                P4: a step given up in doubt is left as it is
9 failed undo swallowed              P4: an undo that is out of budget counts as settled
10 cancel dropped                    P6: a request to undo is forgotten
11 forward after compensation        P2: steps are started though the saga turned back
12 sequence with a gap               P9: an event number is left out
13 dependencies ignored              P2: a step starts before what it comes after
14 timer forgotten                   P8: a wait without a due time
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import Call, Record, backward, effects, forward, requests
from sagakit.engine.turn import Turn
from sagakit.errors import IllegalTransition

from tests.engine.plans import plans
from tests.engine.world import Broken, World

apply_module: Any = sys.modules["sagakit.engine.apply"]  # the package exports a function of that name
Patch = pytest.MonkeyPatch


def undo_order_forward(patch: Patch) -> None:
    patch.setattr(backward, "_those_after_settled", lambda turn, node: True)


def intent_not_durable(patch: Patch) -> None:
    def late(self: World, record: Record) -> None:
        """The effects are performed, and then the record is written."""
        self.record = record
        for effect in effects(self.plan, record):
            if isinstance(effect, Call):
                self._call(effect)

    patch.setattr(World, "_write", late)


def budget_not_counted(patch: Patch) -> None:
    patch.setattr(forward, "spent", lambda retries, attempt: False)


def pivot_ignored(patch: Patch) -> None:
    patch.setattr(requests, "pivot_open", lambda turn: False)
    patch.setattr(requests, "pivot_passed", lambda turn: False)


def adopted_called_again(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        turn.touch()
        turn.record.epoch += 1

    patch.setattr(apply_module, "_adopted", adopted)


def doubt_forgotten(patch: Patch) -> None:
    ended = forward.action_ended

    def forgetful(turn: Turn, node: Any, event: Any) -> None:
        if getattr(event.result, "not_done", False):
            turn.edit(node.name).unsure = False
        ended(turn, node, event)

    patch.setitem(apply_module._ON_ENDED, "running", forgetful)


def new_key_in_doubt(patch: Patch) -> None:
    retry = forward._retry

    def rekeyed(turn: Turn, node: Any, *, delay: float) -> None:
        turn.edit(node.name).group += 1
        retry(turn, node, delay=delay)

    patch.setattr(forward, "_retry", rekeyed)


def doubtful_not_undone(patch: Patch) -> None:
    patch.setattr(
        backward, "_to_undo", lambda turn, node: node.undo is not None and turn.look(node.name).state == "done"
    )


def failed_undo_swallowed(patch: Patch) -> None:
    def swallow(turn: Turn, node: Any, error: str) -> None:
        turn.move(node.name, "undone")

    patch.setattr(backward, "_fail_undo", swallow)


def cancel_dropped(patch: Patch) -> None:
    def drop(turn: Turn) -> None:
        turn.record.undo_request = None

    patch.setattr(apply_module, "honour_undo_request", drop)


def forward_after_compensation(patch: Patch) -> None:
    proceed = backward.proceed

    def both(turn: Turn) -> None:
        apply_module._start_ready(turn)
        proceed(turn)

    patch.setattr(apply_module, "proceed", both)


def sequence_with_a_gap(patch: Patch) -> None:
    emit = Turn.emit

    def gappy(self: Turn, suffix: str, **data: object) -> None:
        emit(self, suffix, **data)
        self.record.next_event += suffix == "compensating" or suffix.startswith("step")

    patch.setattr(Turn, "emit", gappy)


def dependencies_ignored(patch: Patch) -> None:
    def ready(plan: Plan, record: Record) -> list[NodePlan]:
        steps = record.steps
        return [node for node in plan.nodes if node.name not in steps or steps[node.name].state == "pending"]

    patch.setattr(apply_module, "ready", ready)


def timer_forgotten(patch: Patch) -> None:
    patch.setattr(apply_module, "_note_wake", lambda turn: None)


MUTANTS: list[Callable[[Patch], None]] = [
    undo_order_forward, intent_not_durable, budget_not_counted, pivot_ignored, adopted_called_again, doubt_forgotten,
    new_key_in_doubt, doubtful_not_undone, failed_undo_swallowed, cancel_dropped, forward_after_compensation,
    sequence_with_a_gap, dependencies_ignored, timer_forgotten,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_world_condemns(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)

    @settings(settings.get_profile("hunt"), max_examples=3000)
    @given(plan=plans(), data=st.data())
    def schedule(plan: Plan, data: Any) -> None:
        World(plan, data, calm_after=25, gives_up=False).run()

    with pytest.raises((Broken, IllegalTransition)):
        schedule()
