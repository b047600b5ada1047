"""Stubs: a saga without its services. Each step has an answer, and keeps the participant contract by itself."""

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
    """The participants of one stubbed saga: what has happened, by key."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.done: set[str] = set()
        self._void: set[str] = set()

    def call(self, step: str, kind: CallKind, action_key: str) -> Any:
        """What the step's function would say."""
        if kind == "undo":
            self.done.discard(action_key)
            self._void.add(action_key)
            return None
        if kind == "check":
            if action_key in self.done:
                return Done(self._answers[step])
            self._void.add(action_key)
            return NotDone()
        if action_key in self._void:
            raise Reject("key_is_void")
        self.done.add(action_key)
        return self._answers[step]

    def refuse(self, action_key: str) -> bool:
        """Refuse an action, and its key ever after; False if it has happened: an idempotent participant says so."""
        if action_key in self.done:
            return False
        self._void.add(action_key)
        return True


def stub(saga: type[S], answers: Mapping[Node[Any], Any] | None = None) -> S:
    """An instance of the saga that calls none of its functions; its `__init__` is not run.

    `answers` are the results of the steps; those that return None need none. Conditions, items and `output` are the
    saga's own. Raises DefinitionError if an answer is missing or does not fit.
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
        if node.action is None or name in given:
            continue
        try:
            node.result.encode(None)
        except Unwritable:  # it knows no null
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
    """The stubs of a saga that was made by `stub`."""
    found: Stubs | None = getattr(saga, _ATTRIBUTE, None)
    return found
