"""The table of suspects' turns, cell by cell: what each event does in each state, and whose event it must be."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest
from sagakit.system.isolation import Gate
from sagakit.system.turns import TABLE, Action, AskAlone, Event, State, Turns

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
MOVES: dict[tuple[State, Event], tuple[State, Action]] = {
    ("idle", "asked"): ("preparing", "prepare"),
    ("idle", "lost"): ("idle", "open"),
    ("preparing", "quiet"): ("running", "grant"),
    ("preparing", "impatient"): ("pausing", "pause"),
    ("preparing", "over"): ("pausing", "pause"),
    ("preparing", "lost"): ("idle", "open"),
    ("running", "over"): ("pausing", "pause"),
    ("running", "lost"): ("running", "resume"),
    ("pausing", "paused"): ("idle", ""),
    ("pausing", "lost"): ("idle", "open"),
}


def turn_of(ref: object, incarnation: int = 1) -> AskAlone:
    suspect: Any = ref
    return AskAlone(suspect, incarnation)


def in_state(state: State, turn: AskAlone) -> Turns:
    """Return turns that are in this state. `turn` is the present one, or the last."""
    turns = Turns()
    if state != "idle":
        assert turns.asked(turn) == "prepare"
    if state in ("running", "pausing"):
        assert turns.quiet(turn) == "grant"
    if state == "pausing":
        assert turns.over(turn) == "pause"
    assert turns.state == state
    return turns


def happen(turns: Turns, event: Event, turn: AskAlone) -> Action:
    match event:
        case "asked":
            return turns.asked(turn)
        case "quiet":
            return turns.quiet(turn)
        case "impatient":
            return turns.impatient(turn)
        case "over":
            return turns.over(turn)
        case "paused":
            return turns.paused()
        case "lost":
            return turns.lost()


@pytest.mark.parametrize(("state", "event"), [*product(STATES, EVENTS)])
def test_each_event_in_each_state_follows_the_table(state: State, event: Event) -> None:
    turn = turn_of(object())
    turns = in_state(state, turn)
    action = happen(turns, event, turn_of(object()) if event == "asked" else turn)
    assert (turns.state, action) == MOVES.get((state, event), (state, ""))
    assert TABLE[state].get(event) == MOVES.get((state, event))
    assert (turns.turn is not None) == (turns.state in ("preparing", "running"))


@pytest.mark.parametrize(("state", "event"), [*product(STATES, ("quiet", "impatient", "over"))])
def test_an_event_of_another_turn_changes_nothing(state: State, event: Event) -> None:
    """Examples are the death of an earlier incarnation, and its answer."""
    ref = object()
    turns = in_state(state, turn_of(ref, 2))
    assert happen(turns, event, turn_of(ref, 1)) == ""
    assert turns.state == state
    assert not turns.waiting


@pytest.mark.parametrize("state", ["preparing", "running"])
def test_a_new_incarnation_ends_the_turn_of_the_last_one_and_has_its_own_next(state: State) -> None:
    ref = object()
    turns = in_state(state, turn_of(ref, 1))
    again = turn_of(ref, 2)
    assert turns.asked(again) == "pause"
    assert turns.paused() == "prepare"
    assert turns.turn is again


def test_a_new_incarnation_takes_the_place_of_the_last_one_in_the_queue() -> None:
    ref = object()
    turns = in_state("running", turn_of(object()))
    turns.asked(turn_of(ref, 1))
    again = turn_of(ref, 2)
    turns.asked(again)
    assert list(turns.waiting) == [again]
    assert turns.of(ref) == [again]


def test_turns_come_in_the_order_of_the_requests_with_a_pause_between() -> None:
    first, second, third = (turn_of(object()) for _ in range(3))
    turns = in_state("running", first)
    assert [turns.asked(second), turns.asked(third)] == ["", ""]
    assert turns.over(first) == "pause"
    assert turns.paused() == "prepare"
    assert turns.turn is second


def test_a_turn_that_is_put_off_comes_after_those_that_wait() -> None:
    first, second = turn_of(object()), turn_of(object())
    turns = in_state("preparing", first)
    turns.asked(second)
    assert turns.impatient(first) == "pause"
    assert turns.paused() == "prepare"
    assert (turns.turn, list(turns.waiting)) == (second, [first])


def test_a_suspect_that_no_longer_wants_its_turn_leaves_the_queue() -> None:
    waits = turn_of(object())
    turns = in_state("running", turn_of(object()))
    turns.asked(waits)
    assert turns.over(waits) == ""
    assert not turns.waiting


def test_a_lost_actor_forgets_waiting_turns_and_keeps_the_running_one() -> None:
    runs = turn_of(object())
    turns = in_state("running", runs)
    turns.asked(turn_of(object()))
    assert turns.lost() == "resume"
    assert (turns.turn, list(turns.waiting)) == (runs, [])


class Suspect:
    """The part of an actor's reference that the gate looks at."""

    def __init__(self) -> None:
        self.incarnation = 1


def test_the_gate_admits_the_incarnation_that_has_the_turn_and_not_the_one_after_it() -> None:
    suspect: Any = Suspect()
    other: Any = Suspect()
    gate = Gate()
    gate.close()
    assert not gate.admits(suspect)
    gate.grant(turn_of(suspect))
    assert gate.admits(suspect)
    assert not gate.admits(other)
    suspect.incarnation = 2
    assert not gate.admits(suspect), "the record of the next incarnation does not say that it runs alone"
