"""Stubs: a saga without its services. Each step has a fixed answer, and keeps the participant contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypeVar

from sagakit.definition import Done, Node, NotDone, Reject, Saga, compiled
from sagakit.engine.keys import CallKind
from sagakit.errors import DefinitionError, Unwritable
from sagakit.testing.given import check_is_node

S = TypeVar("S", bound="Saga[Any, Any]")

_ATTRIBUTE = "_sagakit_stubs"


class Stubs:
    """The participants of one stubbed saga, with the actions that have happened, by key."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers: Mapping[str, Any] = answers
        """The result of each step."""
        self.done: set[str] = set()
        """The keys of the actions that have happened and were not undone."""
        self._void: set[str] = set()

    def call(self, step: str, kind: CallKind, action_key: str) -> Any:
        """Answer a call as a participant that keeps the contract. Raises Reject for an action under an unusable key."""
        if kind == "undo":
            self.done.discard(action_key)
            self._void.add(action_key)
            return None
        if kind == "check":
            if action_key in self.done:
                return Done(self.answers[step])
            self._void.add(action_key)
            return NotDone()
        if action_key in self._void:
            raise Reject("key_is_void")
        self.done.add(action_key)
        return self.answers[step]

    def refuse(self, action_key: str) -> bool:
        """Make a key unusable, and return True; False if its action has happened and gives its answer again."""
        if action_key in self.done:
            return False
        self._void.add(action_key)
        return True


def stub(saga: type[S], answers: Mapping[Node[Any], Any] | None = None) -> S:
    """Return an instance of a saga whose steps are not called and whose `__init__` is not run.

    `answers` has the results of the steps; a step that returns None needs no answer. Conditions, items and `output` are
    still computed by the saga's functions. Raises DefinitionError if an answer is missing or does not fit.

        trace = simulate(stub(PlaceOrder, {PlaceOrder.charge: Receipt("r-1")}), Order(...))
    """
    definition = compiled(saga)
    given: dict[str, Any] = {}
    for step, answer in (answers or {}).items():
        check_is_node(saga, step, f"stub({saga.__name__}, ...)")
        try:
            definition.nodes[step.name].result.encode(answer)
        except Unwritable as error:
            raise DefinitionError(f"stub({saga.__name__}, ...): {error}") from error.__cause__
        given[step.name] = answer
    for name, node in definition.nodes.items():
        if (node.action is None and definition.plan.by_name[name].kind != "remote") or name in given:
            continue
        try:
            node.result.encode(None)
        except Unwritable:  # None is not a value of the step's type
            wanted = definition.plan.by_name[name].result_type
            raise DefinitionError(
                f"stub({saga.__name__}): give {name} an answer of type {wanted}: "
                f"stub({saga.__name__}, {{{saga.__name__}.{name}: ...}})"
            ) from None
        given[name] = None
    made = saga.__new__(saga)
    setattr(made, _ATTRIBUTE, Stubs(given))
    return made


def stubs_of(saga: Saga[Any, Any]) -> Stubs | None:
    """Return the stubs of a saga that `stub` has made; None for any other."""
    found: Stubs | None = getattr(saga, _ATTRIBUTE, None)
    return found
