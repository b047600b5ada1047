"""Bugs in starts: delayed ones, and those that bring a signal (P6, P8, P10)."""

from __future__ import annotations

from msgspec import structs
from sagakit.engine import Inbound, delay
from sagakit.engine.turn import Turn

from tests.engine.mutants.modules import Mutant, Patch, apply_module

STARTED, BEGIN = delay.started, delay.begin_in_time


def delayed_saga_begins_early(patch: Patch) -> None:
    def early(turn: Turn) -> None:
        if turn.record.status == "delayed":
            turn.record.starts_at = turn.now
        BEGIN(turn)

    patch.setattr(apply_module, "begin_in_time", early)


def delayed_saga_begins_twice(patch: Patch) -> None:
    def forgetful(turn: Turn) -> None:
        at = turn.record.starts_at
        BEGIN(turn)
        turn.record.starts_at = at

    patch.setattr(apply_module, "begin_in_time", forgetful)


def delayed_saga_never_begins_after_adoption(patch: Patch) -> None:
    def unless_adopted(turn: Turn) -> None:
        if turn.record.epoch == 1:
            BEGIN(turn)

    patch.setattr(apply_module, "begin_in_time", unless_adopted)


def delayed_saga_is_not_woken(patch: Patch) -> None:
    note = apply_module._note_wake

    def deaf(turn: Turn) -> None:
        note(turn)
        if turn.record.status == "delayed":
            turn.record.wake_at = None

    patch.setattr(apply_module, "_note_wake", deaf)


def delayed_saga_begins_when_it_is_retried(patch: Patch) -> None:
    patch.setattr(Turn, "resume", lambda turn: turn.move_saga("resume" if turn.forward else "resume_undo"))


def delayed_saga_begins_though_cancelled(patch: Patch) -> None:
    honour = apply_module.honour_undo_request

    def deaf(turn: Turn) -> None:
        if turn.record.status == "delayed":
            turn.record.undo_request = None
        honour(turn)

    patch.setattr(apply_module, "honour_undo_request", deaf)


def deadline_counts_from_the_record(patch: Patch) -> None:
    def started(turn: Turn) -> None:
        STARTED(turn)
        if turn.plan.deadline is not None:
            turn.record.deadline_at = turn.record.created_at + turn.plan.deadline

    patch.setattr(apply_module, "started", started)
    patch.setattr(delay, "started", started)


def signal_of_the_start_is_forgotten(patch: Patch) -> None:
    inbound = apply_module.inbound

    def forgetful(turn: Turn, message: Inbound) -> None:
        kept = structs.replace(turn.record)
        inbound(turn, message)
        if turn.record.version == 0:
            turn.record.applied, turn.record.inbound = kept.applied, kept.inbound

    patch.setattr(apply_module, "inbound", forgetful)


MUTANTS: dict[Mutant, str] = {
    delayed_saga_begins_early: (
        "P10: the saga begins at|P10: .* is called before the saga starts|P6: the deadline counts from"
    ),
    delayed_saga_begins_twice: "P10: the saga begins twice|P9: the events tell another saga: .*starts_at",
    delayed_saga_never_begins_after_adoption: "wake_at .* is not after|no end",
    delayed_saga_is_not_woken: "P8: nothing will ever happen",
    delayed_saga_begins_when_it_is_retried: "P10: ",
    delayed_saga_begins_though_cancelled: "P6: a request to undo was dropped",
    deadline_counts_from_the_record: "P6: the deadline (counts from|has passed)",
    signal_of_the_start_is_forgotten: "P6: .* was applied twice|P6: .* and is None now",
}
"""The mutants, each with the pattern of the verdict that condemns it."""
