"""Random schedules of one saga: calls end, workers crash, messages arrive, operators help, and time passes.

The saga runs in `worker.py`, the promises are judged in `judge.py`, and the services are in `participants.py`.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import structs
from sagakit.binding.saga_binding import REVOKED
from sagakit.definition.plan import Plan
from sagakit.engine import (
    ENDS,
    AttemptEnded,
    Finish,
    Inbound,
    InboundKind,
    Isolated,
    Record,
    Sender,
    awaits_isolation,
    child_id,
    effects,
    known_verdict,
)
from sagakit.engine.forward import HAPPENED
from sagakit.engine.keys import key_of
from sagakit.engine.turn import makes_room, present
from sagakit.engine.verdicts import PLACES

from tests.engine.draws import Draws
from tests.engine.judge import Broken
from tests.engine.participants import FATES
from tests.engine.worker import Worker

OPERATOR = [kind for kind, place in PLACES.items() if place.ring == "operators"]
FATHER = Sender("P", "1", "pr")
FORGED: dict[InboundKind, Sender] = {
    "child-ended": Sender("C", "another", "child"),
    "reverse": Sender("P", "1", "another"),
    "release": Sender("P", "1", "another"),
}


class World(Worker):
    """A saga and everything around it; `run` lets it live to its end."""

    def __init__(self, plan: Plan, draws: Draws, **options: Any) -> None:
        self.children: set[str] = set()  # keys of the children that have told their end
        self.said: list[tuple[Inbound, str]] = []  # each message that was applied, and its verdict
        self.looked_at: Record | None = None
        super().__init__(plan, draws, **options)
        if self.signal is not None:
            self.said.append((self.signal, "accepted"))

    # ------------------------------------------------------------- messages

    def _tell(self, kind: InboundKind, **fields: Any) -> str:
        """Send a message to the saga, and return its verdict."""
        message = Inbound(id=f"{kind}-{self.turns}", kind=kind, by="eve", **fields)
        # Not for a retry: the books have reset its budget already, before anything else may happen.
        if kind != "retry" and self._rarely("something else under its id", 5):
            decoy: InboundKind = "signal" if kind != "signal" else "report"
            self._turn(Inbound(id=message.id, kind=decoy, step="nowhere"))
        if self._rarely("for another run", 8):
            self._without_effect(structs.replace(message, run="another"), "it was for another run")
        already, over = len(self.published), self.record.status in ENDS
        self._turn(message)
        if over and kind not in ("reverse", "release"):
            return "ended"
        kept = self.record.inbound[-1]
        verdict = kept.verdict
        if (kept.id, kept.kind) != (message.id, kind):
            raise Broken(f"P6: {kind} was taken for another message, {kept.kind} {kept.id}")
        told = [event["type"] for event in self.published[already:]]
        if kind in (*OPERATOR, "signal") and verdict == "accepted" and f"saga.T.operator.{kind}" not in told:
            raise Broken(f"{kind} is not audited")
        self.said.append((message, verdict))
        self._come_again()
        return verdict

    def _come_again(self) -> None:
        """Send a message again that was applied at any time before."""
        if not self._rarely("sent again", 5) or self.record.status in ENDS:
            return
        message, verdict = self.draws.pick(self.said, "again")
        self._without_effect(message, "was applied twice")
        known = known_verdict(self.record, message)
        if known is None or known.partition(":")[0] != verdict.partition(":")[0]:
            raise Broken(f"P6: {message.kind} was {verdict}, and is {known} now")

    def _without_effect(self, message: Inbound, what: str) -> None:
        before = self.record
        self._turn(message)
        goes_on = makes_room(before, self.limits) is not None  # a full outbox was held back, and its events are out now
        after = self.record
        if (after.applied, after.released) != (before.applied, before.released) or (
            after.next_event != before.next_event and not goes_on
        ):
            raise Broken(f"P6: {message.kind} {what}")

    def _forge(self, kind: str) -> None:
        """Send messages that pretend to come from this saga's child or parent."""
        node = next((node.name for node in self.plan.nodes if node.kind == "child"), "nowhere")
        forged_kind, sender = next(one for one in FORGED.items() if one[0] == kind)
        for claimed in (None, sender):
            forged = Inbound(id=f"forged-{self.turns}", kind=forged_kind, run="r", sender=claimed, step=node)
            self._without_effect(forged, "was forged, and has an effect")

    # ------------------------------------------------------------- schedule

    def run(self) -> None:
        """Let things happen until the saga has ended, or is stuck and no operator helps."""
        for _ in range(500):
            if self.record.status == "stuck" and (self._goes_on_meanwhile() or self._help()):
                continue
            if self.record.status in ENDS or self.record.status == "stuck":
                self.judge_end()
                if self.record.status == "stuck" or not self._reversed():
                    return
                continue
            self._step()
        raise Broken(f"no end: {self.record.status}")

    def _goes_on_meanwhile(self) -> bool:
        """End a call that was under way when the saga was halted, before an operator helps; return False if none is."""
        if not self.record.halted or not self.running or not self._rarely("goes on meanwhile", 2):
            return False
        compensating = self.compensating
        self.end(min(self.running), self.draws.pick(FATES, "fate"))
        if self.record.status != "stuck" or (self.compensating and not compensating and self._has_begun_to_undo()):
            raise Broken("a saga that is halted goes on before an operator says so")
        return True

    def _has_begun_to_undo(self) -> bool:
        return any(call.kind == "undo" for call in self.running.values())

    def _reversed(self) -> bool:
        """Let the parent undo a child that has ended, or release it; return True if the child turns back."""
        if self.parent is None:
            return False
        if self.record.status == "completed" and self.draws.number(0, 1, "is reversed"):
            self.asked_to_undo = self._tell("reverse", sender=FATHER) == "accepted"
            return self.asked_to_undo
        self._tell("release", sender=FATHER)
        if not any(isinstance(effect, Finish) for effect in effects(self.plan, self.record)):
            raise Broken("P8: a child that was released does not finish")
        return False

    def _help(self) -> bool:
        """Let an operator help a stuck saga; return False if none does."""
        if self.turns > self.calm_after:
            return False
        verbs = ["nobody", "retry", "retry", "cancel", "terminate", "compensate", "mark-undone", "complete-step"]
        match self.draws.pick(verbs, "operator"):
            case "nobody":
                return False
            case "retry":
                self._retry()
            case "cancel":
                self._cancel("cancel")
            case "terminate":
                self._tell("terminate")
            case "compensate":
                self.forced = True
                self._cancel("compensate")
            case verb:
                self._by_hand(verb)
        return True

    def _retry(self) -> None:
        if not self.record.halted:
            for node in present(self.plan, self.record):
                if self._state(node.name) in ("blocked", "asked", "undo_failed"):
                    self.participants.forget_doubt(node.name)
                if self._state(node.name) in ("blocked", "asked"):
                    self.budget[node.name] = 0
                state = self._state(node.name)
                done = node.name in self.record.steps and self.record.steps[node.name].code in HAPPENED
                if (state == "blocked" and not done) or (state == "asked" and not node.has_check):
                    self.participants.declare_not_done(node.name)
        self._tell("retry")

    def _by_hand(self, verb: Any) -> None:
        """Let an operator do one step, or its undo, by hand, and report it."""
        if not self.record.steps:
            return
        step = self.draws.pick(sorted(self.record.steps), "by hand")
        action_key = key_of(self.record, step, "do", self.record.steps[step])
        if verb == "complete-step" and self._state(step) == "blocked":
            self.strange.discard(step)
        if verb == "complete-step" and step in self.plan.by_name and self.plan.by_name[step].kind == "timer":
            self.timers[step] = self.now  # completed by hand: it need not ring at its time
        verdict = self._tell(verb, step=step, **({"payload": msgspec.Raw(b"7")} if verb == "complete-step" else {}))
        if verdict == "accepted":
            self.participants.by_hand(action_key, undone=verb == "mark-undone")

    def _cancel(self, verb: InboundKind) -> None:
        self.asked_to_undo = self._tell(verb, reason="changed my mind") in ("accepted", "waiting") or self.asked_to_undo

    def _signal(self, name: str) -> None:
        if self._tell("signal", step=name, payload=msgspec.Raw(b"7")) == "accepted":
            self.sent.add(name)

    def _child_ends(self, name: str, failed: bool) -> None:
        """Let a child that has begun end, and report its end."""
        key = self._child_key(name)
        self.children.add(key)
        self.participants.child_ended(key, failed=failed)
        sender = Sender("C", child_id(self.record, name, self.record.steps[name].group), "child")
        strange = not failed and self._rarely("an output that cannot be read")
        self.strange |= {name} if strange else set()
        self._tell(
            "child-ended",
            run="r",
            sender=sender,
            step=name,
            payload=msgspec.Raw(b"7"),
            code="no" if failed else None,
            refused="it is not what the node takes" if strange else "",
        )

    def _child_key(self, name: str) -> str:
        return key_of(self.record, name, "do", self.record.steps[name])

    def _step(self) -> None:
        wild = self.turns <= self.calm_after
        choices: list[tuple[str, Any]] = [("end", "")] * 6 * bool(self.running)
        choices += [("unread", "")] * bool(self.running and wild and self.misread)
        choices += [("turn", "")] * 3 * bool(self.queued) + [("revoked", "")] * 3 * bool(self.revoked)
        choices += [("wait", "")] * bool(self.record.wake_at)
        full = makes_room(self.record, self.limits) is not None and self.looked_at is not self.record
        choices += [("published", "")] * 3 * full
        choices += [("isolate", "")] * 3 * awaits_isolation(self.plan, self.record, self.now)
        for name in (name for name, node in self.plan.by_name.items() if node.kind == "signal"):
            if wild or self._state(name) == "awaiting":
                choices.append(("signal", name))
        for name, log in self.record.steps.items():
            begun = log.state == "awaiting" or (wild and log.state in ("running", "waiting"))
            if self.plan.node(name).kind == "child" and begun and self._child_key(name) not in self.children:
                choices += [("child", name)] * bool(self.participants.effects_of(name))
        for name in self.record.steps if wild else ():
            if self.plan.node(name).kind == "step" and self.participants.effects_of(name):
                choices.append(("report", name))
        if wild:
            choices += [("crash", "")] * (8 if self.deadly else 1)
            choices += [("cancel", "")] + [("terminate", "")] * self._rarely("loud", 20)
            choices += [("forge", kind) for kind in FORGED] * self._rarely("forged", 5)
            if self.record.status == "compensating":
                choices.append(("mark-undone", ""))
            choices += [("complete-step", "")] * any(log.state == "waiting" for log in self.record.steps.values())
        if not choices:
            raise Broken(f"P8: nothing will ever happen any more: {self.record}")
        match self.draws.pick(choices, "next"):
            case "end", _:
                which = self.draws.pick(sorted(self.running), "call")
                self.end(which, self.draws.pick(FATES, "fate") if wild else "done")
            case "unread", _:
                self.unread(self.draws.pick(sorted(self.running), "call"))
            case "turn", _:
                self._made(self.queued.pop(self.draws.pick(sorted(self.queued), "its turn")))
            case "revoked", _:
                self._turn(AttemptEnded(*self.revoked.pop(), REVOKED, 0.5))
            case "wait", _:
                assert self.record.wake_at is not None
                self.now = max(self.now, self.record.wake_at)
                self._turn()
            case "published", _:
                self.looked_at = self.record  # once for each write, as an owner hears of the confirmation once
                self._turn()
            case "isolate", _:
                self._turn(Isolated())
            case "crash", _:
                self.crash()
            case "terminate", _:
                self._tell("terminate")
            case "forge", kind:
                self._forge(cast("InboundKind", kind))
            case "signal", name:
                self._signal(name)
            case "child", name:
                self._child_ends(name, failed=wild and self.draws.number(0, 1, "child fails") == 1)
            case "report", name:
                self._tell("report", step=name, payload=msgspec.Raw(b"7"))
            case ("mark-undone" | "complete-step") as verb, _:
                self._by_hand(verb)
            case _:
                if self.draws.number(0, 3, "really") == 0:
                    self._cancel(self.draws.pick(["cancel", "compensate"], "by"))
