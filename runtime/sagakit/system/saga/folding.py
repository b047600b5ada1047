"""Folding: one saga's events become its next record, with the engine's questions answered on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import structs
from sagakit_actors import Ref

from sagakit.engine import Decided, InputEvent, OutputMade, Prepared, Question, Record, apply, questions
from sagakit.system.environment import Environment
from sagakit.system.saga.activation import CreateRecord
from sagakit.system.saga.saga_messages import SagaMessage
from sagakit.system.saga.slot import SagaSlot

QuestionAnswer: TypeAlias = Decided | Prepared | OutputMade


class Folding:
    """Folds input events into the record. Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_binding", "_environment", "_key", "_plan", "_ref", "_slot")

    def __init__(self, environment: Environment, slot: SagaSlot, ref: Ref[SagaMessage]) -> None:
        self._environment = environment
        self._key = slot.key
        self._slot = slot
        self._binding = slot.binding
        self._plan = slot.binding.plan
        self._ref = ref

    def create(self, create: CreateRecord) -> Record:
        """Return the first record of the saga. Nothing of it is durable."""
        hold = self._holds()
        return self._answered(create(hold=hold), hold=hold)

    def fold(self, record: Record, events: Sequence[InputEvent]) -> Record:
        """Return the record that `events` make of `record`; `record` itself if nothing has come of them."""
        environment, hold = self._environment, self._holds()
        folded = apply(self._plan, record, events, environment.now(), limits=environment.limits, hold=hold)
        return self._answered(folded, hold=hold)

    def must_stay(self) -> bool:
        """Return True if the saga may not ask for a place, nor be passivated: the worker leaves, or a suspect runs."""
        return self._environment.sagas.draining or not self._environment.gate.admits(self._ref)

    def _holds(self) -> bool:
        """Return True if no attempt may be opened now. If one may, this saga has a place from now on."""
        return self.must_stay() or not self._environment.sagas.places.use(self._key)

    def _answered(self, record: Record, *, hold: bool) -> Record:
        """Answer the engine's questions. The functions asked have no effects, so no write need come before them."""
        environment = self._environment
        while not hold and (asked := questions(self._plan, record)):
            answers = self._answers(asked, record)
            record = apply(self._plan, record, answers, environment.now(), limits=environment.limits)
            for answer in answers:
                environment.reports.answered(self._key, answer, record)
        return record

    def _answers(self, asked: Sequence[Question], record: Record) -> list[QuestionAnswer]:
        values = self._slot.values
        if values is None:
            return [self._binding.answer(question, record) for question in asked]
        whole = values.fill(record)
        answers = [self._binding.answer(question, whole) for question in asked]
        if record.parent is not None:  # the parent gets the output itself, as the result of its node
            return answers
        return [
            structs.replace(one, output=values.claim(one.output)) if isinstance(one, OutputMade) else one
            for one in answers
        ]
