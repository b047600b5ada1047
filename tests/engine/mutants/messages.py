"""Bugs in messages, timers, signals, children and requests to undo (P6, P8)."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import (
    Finish,
    Inbound,
    Record,
    Sender,
    backward,
    beginning,
    family,
    inbound,
    keys,
    operator,
    verdicts,
)
from sagakit.engine.keys import Started
from sagakit.engine.turn import Turn

from tests.engine.mutants.modules import Mutant, Patch, apply_module, effects_module


def cancel_dropped(patch: Patch) -> None:
    def drop(turn: Turn) -> None:
        turn.record.undo_request = None

    patch.setattr(apply_module, "honour_undo_request", drop)


def timer_forgotten(patch: Patch) -> None:
    patch.setattr(apply_module, "_note_wake", lambda turn: None)


def deadline_dropped(patch: Patch) -> None:
    patch.setattr(apply_module, "deadline", lambda turn: None)


def message_applied_twice(patch: Patch) -> None:
    patch.setattr(verdicts, "_verdict", lambda record, message: None)


def messages_known_by_their_id_alone(patch: Patch) -> None:
    verdict = verdicts._verdict

    def known(record: Record, message: Inbound) -> str | None:
        other = next((one.verdict for one in record.inbound if one.id == message.id), None)
        return verdict(record, message) or other

    patch.setattr(verdicts, "_verdict", known)


def old_messages_forgotten(patch: Patch) -> None:
    verdict = verdicts._verdict
    patch.setattr(verdicts, "_verdict", lambda record, message: verdict(structs.replace(record, applied=""), message))


def messages_of_other_runs_applied(patch: Patch) -> None:
    patch.setattr(inbound, "known_verdict", lambda record, message: verdicts._verdict(record, message))


def forged_parents_believed(patch: Patch) -> None:
    for kind in ("reverse", "release"):
        patch.delitem(family._CHECKS, kind)


def forged_children_believed(patch: Patch) -> None:
    def started(plan: Plan, record: Record, sender: Sender) -> Started:
        return keys.started_child(plan, record, sender) or Started(plan.by_name["s0"], 1)

    patch.setattr(family, "started_child", started)


def strange_output_taken(patch: Patch) -> None:
    ended = inbound._APPLY["child-ended"]
    patch.setitem(
        inbound._APPLY, "child-ended", lambda turn, message: ended(turn, structs.replace(message, refused=""))
    )


def child_that_is_done_started_again(patch: Patch) -> None:
    patch.setattr(operator, "HAPPENED", frozenset())


def child_that_is_held_left_as_it_is(patch: Patch) -> None:
    patch.setattr(backward, "HAPPENED", frozenset())


def verb_not_audited(patch: Patch) -> None:
    emit = Turn.emit

    def silent(self: Turn, suffix: str, carries: str = "", /, **data: object) -> None:
        if not suffix.startswith("operator."):
            emit(self, suffix, carries, **data)

    patch.setattr(Turn, "emit", silent)


def early_signal_lost(patch: Patch) -> None:
    begin = beginning._await_signal

    def deaf(turn: Turn, node: NodePlan) -> None:
        turn.edit(node.name).arrived = False
        begin(turn, node)

    patch.setitem(beginning._BEGIN, "signal", deaf)


def timer_rings_early(patch: Patch) -> None:
    def hasty(turn: Turn, node: NodePlan) -> None:
        turn.move(node.name, "await").due = turn.now + 1.0

    patch.setitem(beginning._BEGIN, "timer", hasty)


def child_left_running(patch: Patch) -> None:
    def only_done(turn: Turn, node: NodePlan) -> None:
        turn.move(node.name, "refuse")

    patch.setattr(backward, "give_up_waiting", only_done)


def child_that_is_early_missed(patch: Patch) -> None:
    ended = inbound._APPLY["child-ended"]

    def strict(turn: Turn, message: Inbound) -> Any:
        return ended(turn, message) if turn.look(message.step).state == "awaiting" else "nothing to do"

    patch.setitem(inbound._APPLY, "child-ended", strict)


def child_released_early(patch: Patch) -> None:
    patch.setattr(effects_module, "_end", lambda plan, record: Finish())


MUTANTS: dict[Mutant, str] = {
    cancel_dropped: "P6: a request to undo was dropped|P6: the deadline has passed",
    timer_forgotten: "P8: nothing will ever happen|P6: the deadline",
    deadline_dropped: "P6: the deadline has passed|wake_at .* is not after",
    message_applied_twice: "P6: .* was applied twice",
    messages_known_by_their_id_alone: "P6: .* was taken for another message",
    old_messages_forgotten: "P6: .* was applied twice|P6: .* and is None now",
    messages_of_other_runs_applied: "P6: .* it was for another run",
    forged_parents_believed: "P6: .* was forged",
    forged_children_believed: "P6: child-ended was forged",
    strange_output_taken: "P8: .* with an output that cannot be read",
    child_that_is_done_started_again: (
        "P5: (failed|an undo) after the pivot|P3: .* under two keys|P4: .* is still there|P8: .* cannot be read"
    ),
    child_that_is_held_left_as_it_is: "P4: .* waits for a person",
    verb_not_audited: "is not audited",
    early_signal_lost: "P8: ",
    timer_rings_early: "rang too early",
    child_left_running: "P4: .* is still there",
    child_that_is_early_missed: "P[38]: |no end",
    child_released_early: (
        "before its parent has released it|P8: the parent was not told|the child of .* is never released"
    ),
}  # fmt: skip
"""The mutants, each with the pattern of the verdict that condemns it."""
