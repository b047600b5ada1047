"""Bugs in writes, events, takeovers and unreadable records (P1, P7 to P9, P11)."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sagakit.definition.plan import NodePlan
from sagakit.engine import (
    Call,
    Record,
    effects,
    forward,
)
from sagakit.engine.events import make_event
from sagakit.engine.record import NOTHING
from sagakit.engine.turn import Turn

from tests.engine import worker
from tests.engine.mutants.modules import Mutant, Patch, answers_module, apply_module, carried_module, turn_module
from tests.engine.world import World

ADOPTED = apply_module._adopted


def intent_not_durable(patch: Patch) -> None:
    def late(self: World, record: Record) -> None:
        """Perform the effects before the record is durable."""
        self.record = record
        for effect in effects(self.plan, record):
            if isinstance(effect, Call):
                self._call(effect)

    patch.setattr(World, "_write", late)


def adopted_called_again(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        turn.touch()
        turn.record.epoch += 1

    patch.setattr(apply_module, "_adopted", adopted)


def sequence_with_a_gap(patch: Patch) -> None:
    emit = Turn.emit

    def gappy(self: Turn, suffix: str, carries: str = "", /, **data: object) -> None:
        emit(self, suffix, carries, **data)
        self.record.next_event += suffix == "compensating" or suffix.startswith("step")

    patch.setattr(Turn, "emit", gappy)


def event_before_record(patch: Patch) -> None:
    write = World._write

    def early(self: World, record: Record) -> None:
        if self.durable:
            self._publish(record.outbox)
        write(self, record)

    patch.setattr(World, "_write", early)


def event_rewritten(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        ADOPTED(turn, event)
        turn.record.outbox = [
            structs.replace(one, data=make_event(turn.record, one.suffix, {"again": 1}, now=turn.now).data)
            for one in turn.record.outbox
        ]

    patch.setattr(apply_module, "_adopted", adopted)


def result_not_told(patch: Patch) -> None:
    value = carried_module._value

    def untold(record: Record, field: str, suffix: str, item: str) -> Any:
        return NOTHING if field == "result" else value(record, field, suffix, item)

    patch.setattr(carried_module, "_value", untold)


def group_not_told(patch: Patch) -> None:
    emit = Turn.emit

    def silent(self: Turn, suffix: str, carries: str = "", /, **data: object) -> None:
        data.pop("group", None)
        emit(self, suffix, carries, **data)

    patch.setattr(Turn, "emit", silent)


def epoch_not_raised(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        ADOPTED(turn, event)
        turn.record.epoch -= 1

    patch.setattr(apply_module, "_adopted", adopted)


def suspects_run_beside_others(patch: Patch) -> None:
    patch.setattr(turn_module, "is_suspect", lambda record: False)


def every_death_counts(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        turn.record.alone = True
        ADOPTED(turn, event)

    patch.setattr(apply_module, "_adopted", adopted)


def asked_for_after_turning_back(patch: Patch) -> None:
    patch.setattr(worker, "effects", lambda plan, record: effects(plan, structs.replace(record, failure=None)))


def unread_and_spent(patch: Patch) -> None:
    unread = forward.unread

    def counted(turn: Turn, node: NodePlan, result: Any) -> None:
        unread(turn, node, result)
        turn.edit(node.name).attempt += 1

    patch.setattr(forward, "unread", counted)


def unread_and_rekeyed(patch: Patch) -> None:
    unread = forward.unread

    def rekeyed(turn: Turn, node: NodePlan, result: Any) -> None:
        unread(turn, node, result)
        turn.edit(node.name).group += 1

    patch.setattr(forward, "unread", rekeyed)


def unread_and_tried_again(patch: Patch) -> None:
    patch.setattr(Turn, "halt", lambda turn, reason: None)


def unread_and_undone(patch: Patch) -> None:
    cannot = answers_module._cannot_begin
    patch.setattr(answers_module, "_cannot_begin", lambda turn, node, error, *, unreadable: cannot(turn, node, error))


def unread_and_goes_on_by_itself(patch: Patch) -> None:
    fail = Turn.fail

    def fails(turn: Turn, failure: Any, **options: Any) -> None:
        turn.record.halted = False
        fail(turn, failure, **options)

    patch.setattr(Turn, "fail", fails)


MUTANTS: dict[Mutant, str] = {
    intent_not_durable: "P1: .* is called without a durable record",
    adopted_called_again: "P8: nothing will ever happen|is not open|P9: the events tell another saga: .*epoch",
    sequence_with_a_gap: "P9: event .* comes after",
    event_before_record: "P9: .* is published before the record",
    event_rewritten: "P9: ",
    result_not_told: "P9: the events tell another saga: .*result",
    group_not_told: "P9: the events tell another saga: .*group",
    epoch_not_raised: "P7: ",
    suspects_run_beside_others: "P11: .* not alone",
    every_death_counts: "P11: found out",
    asked_for_after_turning_back: "P2: .* goes forward",
    unread_and_spent: "P3: .* was not called, and has spent",
    unread_and_rekeyed: "P3: .* was not called, and has spent",
    unread_and_tried_again: "P4: the saga goes on, though",
    unread_and_undone: "P4: the saga goes on, though",
    unread_and_goes_on_by_itself: "halted goes on before|P4: the saga goes on, though",
}  # fmt: skip
"""The mutants, each with the pattern of the verdict that condemns it."""
