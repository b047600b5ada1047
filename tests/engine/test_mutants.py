"""Mutants of the engine, planted by hand: the world of `world.py` must condemn each, for the promise that it breaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import (
    Call,
    Complete,
    Finish,
    Inbound,
    Limits,
    Record,
    Sender,
    StepLog,
    backward,
    beginning,
    effects,
    family,
    forward,
    inbound,
    keys,
    operator,
    undo_requests,
    verdicts,
)
from sagakit.engine.events import make_event
from sagakit.engine.keys import Started
from sagakit.engine.table import HELD, PASSED
from sagakit.engine.turn import Turn
from sagakit.errors import IllegalTransition

from tests.engine import world
from tests.engine.plans import plans
from tests.engine.world import Broken, World

apply_module: Any = sys.modules["sagakit.engine.apply"]  # the package exports a function of that name
effects_module: Any = sys.modules["sagakit.engine.effects"]
turn_module: Any = sys.modules["sagakit.engine.turn"]
ADOPTED = apply_module._adopted
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
    patch.setattr(undo_requests, "pivot_open", lambda turn: False)
    patch.setattr(undo_requests, "pivot_passed", lambda turn: False)


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
    patch.setattr(effects_module, "ready", ready)


def timer_forgotten(patch: Patch) -> None:
    patch.setattr(apply_module, "_note_wake", lambda turn: None)


def retry_budget_not_reset(patch: Patch) -> None:
    again = operator._again

    def miserly(turn: Turn, node: NodePlan) -> bool:
        spent = turn.look(node.name).attempt
        moved = again(turn, node)
        turn.edit(node.name).attempt = spent
        return moved

    patch.setattr(operator, "_again", miserly)


def old_key_when_known_not_done(patch: Patch) -> None:
    known = forward._known_not_done

    def same_key(turn: Turn, node: NodePlan, log: StepLog, delay: float) -> None:
        log.group -= 1
        known(turn, node, log, delay)

    patch.setattr(forward, "_known_not_done", same_key)


def unknown_taken_for_done(patch: Patch) -> None:
    def hopeful(turn: Turn, node: NodePlan, ended: Any, result: Any) -> None:
        forward.succeed(turn, node, Complete())

    patch.setattr(forward, "_unknown", hopeful)


def ended_with_open_attempts(patch: Patch) -> None:
    def settled(turn: Turn, node: NodePlan) -> bool:
        return turn.look(node.name).state not in HELD and not backward._to_undo(turn, node)

    patch.setattr(backward, "_settled", settled)


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
            structs.replace(one, event=make_event(turn.record, one.suffix, {"again": 1}, now=turn.now).event)
            for one in turn.record.outbox
        ]

    patch.setattr(apply_module, "_adopted", adopted)


def epoch_not_raised(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        ADOPTED(turn, event)
        turn.record.epoch -= 1

    patch.setattr(apply_module, "_adopted", adopted)


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

    def silent(self: Turn, suffix: str, **data: object) -> None:
        if not suffix.startswith("operator."):
            emit(self, suffix, **data)

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


def items_without_bound(patch: Patch) -> None:
    begin_items = apply_module.begin_items

    def all_at_once(turn: Turn) -> None:
        turn.plan = structs.replace(
            turn.plan, nodes=tuple(structs.replace(node, parallel=99) for node in turn.plan.nodes)
        )
        begin_items(turn)

    patch.setattr(apply_module, "begin_items", all_at_once)


def items_taken_for_nodes(patch: Patch) -> None:
    def careless(turn: Turn) -> bool:
        steps = turn.record.steps
        return len(steps) >= len(turn.plan.nodes) and all(log.state in PASSED for log in steps.values())

    patch.setattr(Turn, "all_passed", property(careless))


def first_items_enough(patch: Patch) -> None:
    def hasty(turn: Turn, each: NodePlan) -> None:
        if turn.look(each.name).state == "spread" and turn.items(each):
            turn.move(each.name, "succeed")

    patch.setattr(forward, "gather", hasty)


def suspects_run_beside_others(patch: Patch) -> None:
    patch.setattr(turn_module, "is_suspect", lambda record: False)


def every_death_counts(patch: Patch) -> None:
    def adopted(turn: Turn, event: Any) -> None:
        turn.record.alone = True
        ADOPTED(turn, event)

    patch.setattr(apply_module, "_adopted", adopted)


def started_beside_a_question(patch: Patch) -> None:
    patch.setattr(apply_module, "CALLED", frozenset())


def asked_for_after_turning_back(patch: Patch) -> None:
    patch.setattr(world, "effects", lambda plan, record: effects(plan, structs.replace(record, failure=None)))


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
    cannot = apply_module._cannot_begin
    patch.setattr(apply_module, "_cannot_begin", lambda turn, node, error, *, unreadable: cannot(turn, node, error))


def unread_and_goes_on_by_itself(patch: Patch) -> None:
    fail = Turn.fail

    def fails(turn: Turn, failure: Any, **options: Any) -> None:
        turn.record.halted = False
        fail(turn, failure, **options)

    patch.setattr(Turn, "fail", fails)


MUTANTS: dict[Callable[[Patch], None], str] = {
    undo_order_forward: "P2: .* is undone before",
    intent_not_durable: "P1: .* is called without a durable record",
    budget_not_counted: "P3: .* more often than its budget",
    pivot_ignored: "P5: ",
    adopted_called_again: "P8: nothing will ever happen|is not open",
    doubt_forgotten: "P[34]: ",
    new_key_in_doubt: "P3: .* in doubt",
    doubtful_not_undone: "P4: .* is still there|P2: .* is undone before",
    failed_undo_swallowed: "P4: .* is still there",
    cancel_dropped: "P6: a request to undo was dropped|P6: the deadline has passed",
    forward_after_compensation: "P2: .* goes forward|no move",
    sequence_with_a_gap: "P9: event .* comes after",
    dependencies_ignored: "P2: .* starts before what it comes after",
    timer_forgotten: "P8: nothing will ever happen|P6: the deadline",
    retry_budget_not_reset: "P3: .* was given up with",
    old_key_when_known_not_done: "P3: .* is used again",
    unknown_taken_for_done: "is done, but its effect is not there",
    ended_with_open_attempts: "P2: the saga has ended while|P2: .* is undone before|P4: .* is still there",
    event_before_record: "P9: .* is published before the record",
    event_rewritten: "P9: ",
    epoch_not_raised: "P7: ",
    deadline_dropped: "P6: the deadline has passed|wake_at .* is not after",
    message_applied_twice: "P6: .* was applied twice",
    messages_known_by_their_id_alone: "P6: .* was taken for another message",
    old_messages_forgotten: "P6: .* was applied twice|P6: .* and is None now",
    messages_of_other_runs_applied: "P6: .* it was for another run",
    forged_parents_believed: "P6: .* was forged",
    forged_children_believed: "P6: child-ended was forged",
    strange_output_taken: "P8: .* with an output that cannot be read",
    child_that_is_done_started_again: "P5: failed after the pivot|P3: .* under two keys|P8: .* cannot be read",
    child_that_is_held_left_as_it_is: "P4: .* waits for a person",
    verb_not_audited: "is not audited",
    early_signal_lost: "P8: ",
    timer_rings_early: "rang too early",
    child_left_running: "P4: .* is still there",
    child_that_is_early_missed: "P[38]: |no end",
    child_released_early: "before its parent has released it|P8: the parent was not told",
    items_without_bound: "are allowed",
    items_taken_for_nodes: "completed with",
    first_items_enough: "P2: |no move|completed with",
    suspects_run_beside_others: "P11: .* not alone",
    every_death_counts: "P11: found out",
    started_beside_a_question: "P2: .* goes forward",
    asked_for_after_turning_back: "P2: .* goes forward",
    unread_and_spent: "P3: .* was not called, and has spent",
    unread_and_rekeyed: "P3: .* was not called, and has spent",
    unread_and_tried_again: "P4: the saga goes on, though",
    unread_and_undone: "P4: the saga goes on, though",
    unread_and_goes_on_by_itself: "halted goes on before|P4: the saga goes on, though",
}  # fmt: skip
"""Each mutant, and how the world condemns it."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_world_condemns(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)

    @settings(settings.get_profile("hunt"), max_examples=20_000)
    @given(plan=plans(), data=st.data())
    def schedule(plan: Plan, data: Any) -> None:
        misread = mutant.__name__.startswith("unread")
        World(plan, data, calm_after=25, gives_up=False, misread=misread, limits=Limits(inbound=2)).run()

    with pytest.raises((Broken, IllegalTransition), match=MUTANTS[mutant]):
        schedule()
