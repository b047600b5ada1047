"""Messages by kind and by the state of the saga: a forged message, or one for another run, does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    AttemptEnded,
    Compensating,
    Complete,
    Error,
    GaveUp,
    Inbound,
    InboundKind,
    InputEvent,
    Limits,
    Parent,
    Record,
    Sender,
    TellParent,
    apply,
    create,
    effects,
    verdict_of,
)
from sagakit.engine.forward import UNREADABLE

UNDO = UndoPlan(retries=Retries(max_attempts=1), timeout=30)
KIDS = UndoPlan(retries=Retries(max_attempts=None), timeout=30)
PLAN = Plan(
    saga_type="T",
    nodes=(
        NodePlan(name="a", undo=UNDO, retries=Retries(max_attempts=1)),
        NodePlan(name="kid", kind="child", child_type="C", undo=KIDS, after=("a",)),
        NodePlan(name="z", after=("kid",), retries=Retries(max_attempts=1), undo=UNDO),
    ),
)
PARENT = Parent("P.p=2F7", "parents-run", "node")
"""The key of a saga whose id is `p/7`."""
MY_ID = "p/7/parents-run/node/1"
LIMITS = Limits()


def started(plan: Plan = PLAN, *events: InputEvent, parent: Parent | None = PARENT) -> Record:
    record = create(plan, saga_id=MY_ID, run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0, parent=parent)
    for event in events:
        record = apply(plan, record, [event], record.updated_at + 1.0)
    return record


A_DONE = AttemptEnded("a", 1, Complete())
KID_STARTED = AttemptEnded("kid", 1, Complete())
KID = Sender("C", f"{MY_ID}/r/kid/1", "kids-run")
FATHER = Sender("P", "p/7", "parents-run")


def from_kid(sender: Sender | None = KID, **fields: object) -> Inbound:
    given = {"id": "e", "run": "r", "step": "kid", "payload": msgspec.Raw(b"7")} | fields
    return Inbound(kind="child-ended", sender=sender, **given)  # type: ignore[arg-type]


NOW_DONE = (A_DONE, KID_STARTED, from_kid(id="first"), AttemptEnded("z", 1, Complete()))
REFUSED = AttemptEnded("z", 1, Compensating(code="no"))
KID_UNDONE = AttemptEnded("kid", 2, Complete())
STATES: Mapping[str, Record] = {
    "running": started(PLAN, A_DONE, KID_STARTED),
    "its child is being started": started(PLAN, A_DONE),
    "compensating": started(PLAN, A_DONE, KID_STARTED, from_kid(id="first"), REFUSED),
    "stuck": started(PLAN, *NOW_DONE[:3], REFUSED, KID_UNDONE, AttemptEnded("a", 2, Error(error="broken"))),
    "halted": started(PLAN, A_DONE, KID_STARTED, GaveUp("it crashed")),
    "completed": started(PLAN, *NOW_DONE),
    "failed": started(PLAN, A_DONE, KID_STARTED, Inbound(id="t", kind="terminate")),
}
KINDS: tuple[InboundKind, ...] = get_args(InboundKind)


def test_the_sagas_of_this_module_are_in_the_states_of_their_names() -> None:
    assert {name: record.status for name, record in STATES.items()} == {
        "running": "running",
        "its child is being started": "running",
        "compensating": "compensating",
        "stuck": "stuck",
        "halted": "stuck",
        "completed": "completed",
        "failed": "failed",
    }
    assert STATES["halted"].halted


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_for_another_run_has_no_effect_and_leaves_no_trace(kind: InboundKind, state: str) -> None:
    record = STATES[state]
    sender = KID if kind == "child-ended" else FATHER
    message = Inbound(id="m", kind=kind, run="the one before", sender=sender, step="kid")
    assert apply(PLAN, record, [message], record.updated_at) is record
    assert verdict_of(PLAN, record, message, LIMITS) == "other run"


FORGED: Mapping[InboundKind, Mapping[str, Inbound]] = {
    "child-ended": {
        "without a sender": from_kid(None),
        "without a run": from_kid(run=""),
        "of another type": from_kid(Sender("D", KID.saga_id, KID.run)),
        "of another saga": from_kid(Sender("C", "other/r/kid/1", KID.run)),
        "of another run of this saga": from_kid(Sender("C", f"{MY_ID}/before/kid/1", KID.run)),
        "of a group that is not begun": from_kid(Sender("C", f"{MY_ID}/r/kid/2", KID.run)),
        "of group 0": from_kid(Sender("C", f"{MY_ID}/r/kid/0", KID.run)),
        "of a step that has no child": from_kid(Sender("C", f"{MY_ID}/r/a/1", KID.run), step="a"),
        "of a step that does not exist": from_kid(Sender("C", f"{MY_ID}/r/nobody/1", KID.run), step="nobody"),
    },
    "reverse": {
        "without a sender": Inbound(id="m", kind="reverse"),
        "of another type": Inbound(id="m", kind="reverse", sender=Sender("Q", FATHER.saga_id, FATHER.run)),
        "of another saga": Inbound(id="m", kind="reverse", sender=Sender("P", "p/8", FATHER.run)),
        "of another run": Inbound(id="m", kind="reverse", sender=Sender("P", "p/7", "the one before")),
    },
}
RELEASES = {how: structs.replace(message, kind="release") for how, message in FORGED["reverse"].items()}
FORGERIES = [
    (f"{kind} {how}", message) for kind, of in [*FORGED.items(), ("release", RELEASES)] for how, message in of.items()
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("message", [one for _, one in FORGERIES], ids=[name for name, _ in FORGERIES])
def test_a_message_from_outside_the_family_has_no_effect_and_leaves_no_trace(message: Inbound, state: str) -> None:
    """The true parent or child may use the same message id next."""
    record = STATES[state]
    assert apply(PLAN, record, [message], record.updated_at) is record
    verdict = verdict_of(PLAN, record, message, LIMITS)
    assert verdict is not None
    assert verdict.startswith("refused: ")


@pytest.mark.parametrize("kind", ["reverse", "release"])
def test_a_saga_without_a_parent_refuses_messages_from_a_parent(kind: InboundKind) -> None:
    record = started(PLAN, *NOW_DONE, parent=None)
    message = Inbound(id="m", kind=kind, sender=FATHER)
    assert apply(PLAN, record, [message], record.updated_at) is record
    assert verdict_of(PLAN, record, message, LIMITS) == "refused: this saga has no parent"


GENUINE: list[tuple[Inbound, str, str]] = [
    (from_kid(), "running", "accepted"),
    (from_kid(), "its child is being started", "accepted"),
    (from_kid(code="no"), "running", "accepted"),
    (from_kid(), "compensating", "nothing to do"),
    (from_kid(), "halted", "accepted"),
    (Inbound(id="m", kind="reverse", sender=FATHER), "running", "accepted"),
    (Inbound(id="m", kind="reverse", sender=FATHER), "compensating", "already"),
    (Inbound(id="m", kind="reverse", sender=FATHER), "halted", "waiting"),
    (Inbound(id="m", kind="reverse", sender=FATHER), "completed", "accepted"),
    (Inbound(id="m", kind="reverse", sender=FATHER), "failed", "ended"),
    *((Inbound(id="m", kind="release", sender=FATHER), state, "accepted") for state in STATES),
]


@pytest.mark.parametrize(("message", "state", "verdict"), GENUINE)
def test_a_message_from_the_family_is_applied(message: Inbound, state: str, verdict: str) -> None:
    record = STATES[state]
    after = apply(PLAN, record, [message], record.updated_at)
    assert verdict_of(PLAN, after, message, LIMITS) == verdict
    assert (after.inbound[-1].id, after.inbound[-1].kind) == (message.id, message.kind)


def test_the_end_of_a_child_names_the_child_and_the_run_of_its_parent() -> None:
    (told,) = [effect for effect in effects(PLAN, STATES["completed"]) if isinstance(effect, TellParent)]
    assert (told.message.run, told.message.sender) == ("parents-run", Sender("T", MY_ID, "r"))


def test_a_child_is_known_by_its_id_where_its_node_has_another_name_now() -> None:
    """The child was started under the old name, and reports that name."""
    plan = structs.replace(PLAN, nodes=(PLAN.nodes[0], structs.replace(PLAN.nodes[1], name="nephew")))
    record = STATES["running"]
    steps = {"a": record.steps["a"], "nephew": structs.replace(record.steps["kid"], named="kid")}
    after = apply(plan, structs.replace(record, steps=steps), [from_kid()], 9.0)
    assert after.steps["nephew"].state == "done"


def test_a_signal_under_the_id_of_a_later_reverse_does_not_block_it() -> None:
    record = apply(PLAN, STATES["running"], [Inbound(id="m", kind="signal", step="nowhere")], 9.0)
    assert verdict_of(PLAN, record, Inbound(id="m", kind="signal"), LIMITS) == "unknown"
    record = apply(PLAN, record, [Inbound(id="m", kind="reverse", sender=FATHER)], 9.0)
    assert record.failure is not None
    assert verdict_of(PLAN, record, Inbound(id="m", kind="reverse", sender=FATHER), LIMITS) == "accepted"
    assert [one.kind for one in record.inbound[-2:]] == ["signal", "reverse"]


# ------------------------------------------------- an output that cannot be read

STRANGE = from_kid(refused="it is not what kid takes")


@pytest.mark.parametrize("state", ["running", "its child is being started"])
def test_a_child_whose_output_cannot_be_read_is_held_with_its_output(state: str) -> None:
    record = apply(PLAN, STATES[state], [STRANGE], 9.0)
    assert verdict_of(PLAN, record, STRANGE, LIMITS) == "held"
    if state != "running":
        record = apply(PLAN, record, [KID_STARTED], 9.0)
    log = record.steps["kid"]
    assert (record.status, log.state, log.code, log.result) == ("stuck", "blocked", UNREADABLE, msgspec.Raw(b"7"))
    assert record.stuck == "kid: blocked, it is not what kid takes"


def test_an_operator_gives_a_held_child_a_result_or_undoes_it_and_does_not_start_it_again() -> None:
    held = apply(PLAN, STATES["running"], [STRANGE], 9.0)
    again = apply(PLAN, held, [retry := Inbound(id="o", kind="retry")], 9.0)
    assert verdict_of(PLAN, again, retry, LIMITS) == "nothing to do"
    assert again.steps["kid"].group == 1, "the child is done: another one would do it twice"
    by_hand = Inbound(id="o", kind="complete-step", step="kid", payload=msgspec.Raw(b"8"))
    assert apply(PLAN, held, [by_hand], 9.0).steps["kid"].result == msgspec.Raw(b"8")
    for kind in ("compensate", "cancel"):
        undone = apply(PLAN, held, [Inbound(id="o", kind=kind)], 9.0)
        assert (undone.status, undone.steps["kid"].state) == ("compensating", "undoing")


def test_an_unreadable_output_that_comes_while_the_parent_turns_back_is_undone_with_the_rest() -> None:
    record = apply(PLAN, STATES["its child is being started"], [Inbound(id="c", kind="cancel")], 9.0)
    record = apply(PLAN, record, [STRANGE], 9.0)
    record = apply(PLAN, record, [KID_STARTED], 9.0)
    assert (record.status, record.steps["kid"].state) == ("compensating", "undoing")


# ------------------------------------------------------- a child of an earlier group


def test_the_success_of_a_child_that_an_operator_declared_not_done_is_recorded_as_late() -> None:
    """Its start was in doubt, an operator declared that it did not happen, and another child was started."""
    kid = structs.replace(PLAN.nodes[1], position="pivot", undo=None, retries=Retries(max_attempts=1))
    plan = structs.replace(PLAN, nodes=(PLAN.nodes[0], kid))
    record = started(plan, A_DONE, AttemptEnded("kid", 1, Error(error="no answer")), Inbound(id="o", kind="retry"))
    assert (record.steps["kid"].state, record.steps["kid"].group) == ("running", 2)
    after = apply(plan, record, [from_kid()], 9.0)
    assert verdict_of(plan, after, from_kid(), LIMITS) == "late"
    assert (after.steps["kid"].state, after.steps["kid"].arrived) == ("running", False)
    second = from_kid(Sender("C", f"{MY_ID}/r/kid/2", "another"), id="f")
    ended = apply(plan, after, [AttemptEnded("kid", 2, Complete()), second], 9.0)
    assert (ended.status, ended.steps["kid"].late) == ("completed", True)
    assert "step.kid.late" in [event.suffix for event in ended.outbox]
