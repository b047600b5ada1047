"""Remote steps under any input at all: replies that no participant would send, in one turn with verbs and timers.

No move of theirs is missing in the table. `test_remote` and `explore` show that none is there in vain.
"""

from __future__ import annotations

import random

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import Endpoints, NodePlan, OnUnknown, Plan, Retries, UndoPlan
from sagakit.engine import (
    ENDS,
    Adopted,
    CommandSent,
    Inbound,
    InputEvent,
    Prepared,
    Record,
    ReplyAnswer,
    StepLog,
    Unanswered,
    apply,
    create,
    questions,
)
from sagakit.engine import remote as remote_rules
from sagakit.errors import IllegalTransition

from tests.engine.mutants.modules import Patch

ANSWERS: tuple[ReplyAnswer, ...] = ("done", "rejected", "not_done", "gone", "retry", "unknown")
VERBS = ("retry", "retry", "retry", "compensate", "cancel")
SEVEN = msgspec.Raw(b"7")
RUNS = 1_500


def _plan(dice: random.Random) -> Plan:
    pivot = dice.choice([None, 0, 1])
    nodes: list[NodePlan] = []
    for number in range(dice.randint(1, 2)):
        before = pivot is None or number < pivot
        policies: list[OnUnknown] = ["retry", "check", "ask", *(["undo"] if before else [])]  # type: ignore[list-item]
        policy = dice.choice(policies)
        undo = UndoPlan(retries=Retries(max_attempts=dice.choice([1, None])), timeout=10.0)
        nodes.append(
            NodePlan(
                name=f"s{number}",
                kind="remote",
                after=tuple(node.name for node in nodes) if not before or dice.random() < 0.4 else (),
                position="before" if before else "pivot" if number == pivot else "after",
                on_unknown=policy,
                has_check=policy == "check",
                prepared=True,
                timeout=10.0,
                heartbeat=dice.choice([None, 4.0]),
                retries=Retries(max_attempts=dice.choice([1, 2, None]), initial_interval=1.0),
                undo=undo if before else None,
                endpoints=Endpoints(do="svc.do", undo="svc.undo", check="svc.check"),
            )
        )
    return Plan(saga_type="T", nodes=tuple(nodes))


def _reply(dice: random.Random, step: str, log: StepLog) -> Inbound:
    kind = dice.choice(["do", "do", "do", "check", "undo"])
    group = log.undo_group if kind == "undo" else dice.choice([1, log.group, log.group])
    reply = Inbound(
        id="x", kind="reply", run="r", key=f"T/1/r/{step}/{kind}/{group}", answer=dice.choice(ANSWERS),
        attempt=dice.choice([1, max(1, log.calls - 1), log.calls, log.calls]),
    )  # fmt: skip
    if dice.random() < 0.2:
        return structs.replace(reply, kind="heartbeat", answer="", payload=dice.choice([msgspec.Raw(), SEVEN]))
    if reply.answer != "done":
        return reply
    return structs.replace(reply, payload=SEVEN, refused="cannot be read" if dice.random() < 0.4 else "")


def _input(dice: random.Random, plan: Plan, record: Record) -> InputEvent:
    step = dice.choice(plan.nodes).name
    log = record.steps.get(step, StepLog())
    id = str(dice.random())
    match dice.choices(["reply", "verb", "by hand", "adopted", "unanswered", "sent"], [10, 2, 1, 1, 3, 1])[0]:
        case "reply":
            return _reply(dice, step, log)
        case "verb":
            return Inbound(id=id, kind=dice.choice(VERBS), by="eve")  # type: ignore[arg-type]
        case "by hand":
            return Inbound(
                id=id, kind=dice.choice(["complete-step", "mark-undone"]), by="eve", step=step, payload=SEVEN
            )
        case "adopted":
            return Adopted("v")
        case "unanswered":
            return Unanswered(step, log.calls, silent=log.alive and dice.random() < 0.5)
        case _:
            return CommandSent(step, log.calls)


def _answered(plan: Plan, record: Record, now: float, *, hold: bool) -> Record:
    while asked := questions(plan, record):
        answers = [Prepared(question.step, SEVEN) for question in asked]  # type: ignore[union-attr]
        after = apply(plan, record, answers, now, hold=hold)
        if after is record:
            break
        record = after
    return record


def _run(dice: random.Random) -> None:
    plan, now = _plan(dice), 1000.0
    record = create(plan, saga_id="1", run="r", input=SEVEN, owner="w", now=now)
    record = _answered(plan, record, now, hold=False)
    for _ in range(dice.randint(2, 14)):
        inputs = [_input(dice, plan, record) for _ in range(dice.choice([0, 1, 1, 1, 2, 3]))]
        now = max(now, record.wake_at or now) if dice.random() < 0.3 else now
        hold = dice.random() < 0.15
        record = _answered(plan, apply(plan, record, inputs, now, hold=hold), now, hold=hold)
        if record.status in ENDS:
            break


def test_whatever_comes_in_one_turn_has_a_move() -> None:
    for seed in range(RUNS):
        _run(random.Random(seed))


def test_a_refusal_is_not_taken_twice(monkeypatch: Patch) -> None:
    """A step that a person has sent again is refused by its next attempt, and not by one that lies behind."""
    changes = remote_rules._changes

    def in_any_wait(record: Record, about: remote_rules.Answered, message: Inbound) -> bool:
        waits = record.steps[about.node.name].state == "waiting" and about.kind == "do"
        return (waits and message.answer == "rejected") or changes(record, about, message)

    monkeypatch.setattr(remote_rules, "_changes", in_any_wait)
    with pytest.raises(IllegalTransition, match="from 'waiting'"):
        test_whatever_comes_in_one_turn_has_a_move()
