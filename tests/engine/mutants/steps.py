"""Bugs in the rules of steps: order, outcomes, budgets, keys, the pivot and the undo (P2 to P5)."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import (
    Complete,
    Record,
    StepLog,
    backward,
    forward,
    operator,
    undo_requests,
)
from sagakit.engine.table import HELD, PASSED
from sagakit.engine.turn import Turn

from tests.engine.mutants.modules import Mutant, Patch, apply_module, effects_module


def undo_order_forward(patch: Patch) -> None:
    patch.setattr(backward, "_those_after_settled", lambda turn, node: True)


def budget_not_counted(patch: Patch) -> None:
    patch.setattr(forward, "spent", lambda retries, attempt: False)


def pivot_ignored(patch: Patch) -> None:
    patch.setattr(undo_requests, "pivot_open", lambda turn: False)
    patch.setattr(undo_requests, "pivot_passed", lambda turn: False)


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


def forward_after_compensation(patch: Patch) -> None:
    proceed = backward.proceed

    def both(turn: Turn) -> None:
        apply_module._start_ready(turn)
        proceed(turn)

    patch.setattr(apply_module, "proceed", both)


def dependencies_ignored(patch: Patch) -> None:
    def ready(plan: Plan, record: Record) -> list[NodePlan]:
        steps = record.steps
        return [node for node in plan.nodes if node.name not in steps or steps[node.name].state == "pending"]

    patch.setattr(apply_module, "ready", ready)
    patch.setattr(effects_module, "ready", ready)


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


def items_without_bound(patch: Patch) -> None:
    begin_items = apply_module.begin_items

    def all_at_once(turn: Turn) -> None:
        turn.plan = structs.replace(
            turn.plan, nodes=tuple(structs.replace(node, max_concurrent=99) for node in turn.plan.nodes)
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


def started_beside_a_question(patch: Patch) -> None:
    patch.setattr(apply_module, "CALLED", frozenset())


MUTANTS: dict[Mutant, str] = {
    undo_order_forward: "P2: .* is undone before",
    budget_not_counted: "P3: .* more often than its budget",
    pivot_ignored: "P5: ",
    doubt_forgotten: "P[34]: ",
    new_key_in_doubt: "P3: .* in doubt",
    doubtful_not_undone: "P4: .* is still there|P2: .* is undone before",
    failed_undo_swallowed: "P4: .* is still there",
    forward_after_compensation: "P2: .* goes forward|no move",
    dependencies_ignored: "P2: .* starts before what it comes after",
    retry_budget_not_reset: "P3: .* was given up with",
    old_key_when_known_not_done: "P3: .* is used again",
    unknown_taken_for_done: "is done, but its effect is not there",
    ended_with_open_attempts: "P2: the saga has ended while|P2: .* is undone before|P4: .* is still there",
    items_without_bound: "are allowed",
    items_taken_for_nodes: "completed with",
    first_items_enough: "P2: |no move|completed with",
    started_beside_a_question: "P2: .* goes forward",
}  # fmt: skip
"""The mutants, each with the pattern of the verdict that condemns it."""
