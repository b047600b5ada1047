"""Planted bugs of the engine: random schedules must find each one, for the promise that it breaks."""

from __future__ import annotations

import pytest
from sagakit.definition.plan import Kind
from sagakit.engine import Limits
from sagakit.errors import IllegalTransition

from tests.engine.draws import Dice
from tests.engine.judge import Broken
from tests.engine.mutants import messages, records, starts, steps
from tests.engine.mutants.modules import Mutant, Patch
from tests.engine.plans import drawn_plan
from tests.engine.world import World

MUTANTS: dict[Mutant, str] = steps.MUTANTS | records.MUTANTS | messages.MUTANTS | starts.MUTANTS
FAVORED: dict[Mutant, Kind] = {
    steps.items_taken_for_nodes: "each",
    steps.items_without_bound: "each",
    steps.first_items_enough: "each",
    steps.started_beside_a_question: "each",
    messages.child_that_is_early_missed: "child",
    messages.child_that_is_done_started_again: "child",
    messages.child_that_is_held_left_as_it_is: "child",
}
"""The kinds of node that some bugs need several of. Among plans of mostly plain steps they are found minutes later."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_world_condemns(mutant: Mutant, monkeypatch: Patch) -> None:
    mutant(monkeypatch)

    misread = mutant.__name__.startswith("unread")
    gives_up = mutant in starts.MUTANTS

    def schedules() -> None:
        for seed in range(20_000):
            draws = Dice(seed)
            plan = drawn_plan(draws, favored=FAVORED.get(mutant, "step"))
            World(plan, draws, calm_after=25, gives_up=gives_up, misread=misread, limits=Limits(inbound=2)).run()

    with pytest.raises((Broken, IllegalTransition), match=MUTANTS[mutant]):
        schedules()
