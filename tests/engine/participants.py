"""The services that a saga calls, in memory; each keeps the participant contract, and any call may go wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
from sagakit.engine import Call, Compensating, Complete, Error, NotHappened, RetryLater

Fate = Literal["done", "not_done", "lost", "never", "reject", "later"]
"""The fate of a call: done; known not done; done with a lost reply; not happened, and unknown; refused; put off."""

FATES: list[Fate] = ["done", "done", "done", "not_done", "lost", "never", "reject", "later"]

_RESULT = msgspec.Raw(b"1")


def step_of(key: str) -> str:
    """Return the step, or item, in a key of the run `r`."""
    return key.partition("/r/")[2].rsplit("/", 2)[0]


class Participants:
    """The participants of one saga, with the effects that happened, by action key."""

    def __init__(self) -> None:
        self.happened: Counter[str] = Counter()
        self._void: set[str] = set()  # can no longer happen
        self._undone: set[str] = set()
        self._declared: set[str] = set()  # an operator's retry has declared that it did not happen
        self._spent: set[str] = set()  # keys of calls that are known not done
        self._doubt: dict[tuple[str, str], set[str]] = {}  # by step and kind: keys of calls whose end is unknown

    def effects_of(self, step: str) -> list[str]:
        """Return the keys under which the step has an effect that was not undone."""
        gone = self._undone | self._declared
        return [key for key in self.happened if step_of(key) == step and self.happened[key] and key not in gone]

    def is_spent(self, call: Call) -> bool:
        """Return True if a call under this key is known not done: then a provider may replay the failure.

        See docs/architecture.md, "Keys".
        """
        return call.key in self._spent and call.kind != "check"

    def in_doubt(self, call: Call) -> set[str]:
        """Return the keys under which a call of this kind may have happened."""
        return self._doubt.get((call.step, call.kind), set())

    def lost(self, call: Call) -> None:
        """Note that the worker died during this call."""
        self._doubt.setdefault((call.step, call.kind), set()).add(call.key)

    def forget_doubt(self, step: str) -> None:
        """Note that an operator has settled the doubt about a step."""
        for kind in ("do", "undo"):
            self._doubt.pop((step, kind), None)

    def declare_not_done(self, step: str) -> None:
        """Note that an operator declares a step not done, and has made sure of it."""
        self._declared.update(key for key in self.happened if step_of(key) == step)

    def by_hand(self, action_key: str, *, undone: bool) -> None:
        """Note that an operator has done a step, or undone it, by hand."""
        if undone:
            self._undone.add(action_key)
        else:
            self.happened[action_key] = 1
            self._undone.discard(action_key)
            self._declared.discard(action_key)

    def child_ended(self, action_key: str, *, failed: bool) -> None:
        """Note the end of a child; one that has failed has undone its effects."""
        self.happened[action_key] = 1
        if failed:
            self._undone.add(action_key)

    def answer(self, call: Call, fate: Fate) -> Any:
        """Return the result of one call, and keep what the participant knows of it."""
        if call.kind != "check":
            result = self._do(call, fate) if call.kind == "do" else self._undo(call, fate)
            doubt = self._doubt.setdefault((call.step, call.kind), set())
            if isinstance(result, Error | RetryLater) and not result.not_done:
                doubt.add(call.key)
            elif isinstance(result, Error | RetryLater) and call.key not in doubt:
                self._spent.add(call.key)
            return result
        if fate not in ("done", "lost"):
            return Error(error="cannot tell")
        if self.happened[call.action_key]:
            return Complete(_RESULT)
        self._void.add(call.action_key)
        self._doubt.pop((call.step, "do"), None)
        return NotHappened()

    def _do(self, call: Call, fate: Fate) -> Any:
        if fate == "not_done":
            return Error(error="connection refused", not_done=True)  # this attempt never got there
        if call.key in self._void or call.key in self._undone:
            return Compensating(code="key_is_void")
        if self.happened[call.key]:
            return Complete(_RESULT)  # idempotent by key
        if fate in ("done", "lost"):
            self.happened[call.key] += 1
        match fate:
            case "done":
                return Complete(_RESULT)
            case "reject":
                self._void.add(call.key)  # a refusal is stored under its key
                return Compensating(code="no")
            case "later":
                return RetryLater(reason="busy", after=2.0, not_done=True)
            case _:
                return Error(error="timeout")

    def _undo(self, call: Call, fate: Fate) -> Any:
        if fate in ("done", "lost"):
            self._undone.add(call.action_key)
        match fate:
            case "done":
                return Complete()
            case "reject":
                return Compensating(code="cannot be undone")
            case _:
                return Error(error="broke", not_done=fate in ("not_done", "later"))
