"""Questions of the engine, answered by a user's functions without effects: conditions, items, times, inputs, outputs.

They are called in place. Nothing is written before the call, since it changes nothing and can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec

from sagakit.binding.arguments import Arguments
from sagakit.binding.classify import finished
from sagakit.binding.wrong_loop import advised_in_place
from sagakit.definition import Context, Definition, NodeDefinition, Saga
from sagakit.definition.payloads import Payloads
from sagakit.definition.raised import mistake, told
from sagakit.definition.user_lines import line_of
from sagakit.engine import Decide, Decided, MakeOutput, OutputMade, Prepare, Prepared, Question, Record
from sagakit.engine.value_places import first_name, given_part, output_place
from sagakit.errors import UnreadableValue
from sagakit.times import epoch_seconds

_PREPARED = {"each": "items", "timer": "timer", "child": "input of the child", "remote": "command"}
"""Names, for error texts, of what a function computes before a node of this kind starts."""


class Questions:
    """Answers the engine's questions about sagas of one definition."""

    def __init__(self, saga: Saga[Any, Any], definition: Definition, arguments: Arguments, payloads: Payloads) -> None:
        self._saga = saga
        self._payloads = payloads
        self._definition = definition
        self._arguments = arguments

    def answer(self, question: Question, record: Record) -> Decided | Prepared | OutputMade:
        """Return the answer, or one that tells the engine which error the user's function raised."""
        try:
            return self._answer(question, record, self._arguments.input(record), self._arguments.context(record))
        except BaseException as error:  # of the function, or of what it is given
            return self._no_answer(question, error)

    def _answer(self, question: Question, record: Record, value: Any, ctx: Context) -> Decided | Prepared | OutputMade:
        match question:
            case Decide():
                condition = self._definition.nodes[question.step].condition
                assert condition is not None
                return Decided(question.step, run=bool(finished(condition(value, ctx))))
            case Prepare():
                return self._prepared(question.step, record, value, ctx)
            case MakeOutput():
                output = finished(self._saga.output(value, ctx))
                return OutputMade(
                    self._payloads.write(
                        self._definition.output, output, *output_place(record), foreign=record.parent is not None
                    )
                )
            case _:
                assert_never(question)

    def _no_answer(self, question: Question, error: BaseException) -> Decided | Prepared | OutputMade:
        """Return the error as an answer. Raise it again if it concerns the whole program."""
        unreadable = isinstance(error, UnreadableValue)
        text, where = advised_in_place(error, mistake(error)), line_of(error, type(self._saga))
        match question:
            case Decide():
                return Decided(question.step, error=f"when: {text}", unreadable=unreadable, where=where)
            case Prepare():
                what = _PREPARED[self._definition.plan.by_name[question.step].kind]
                return Prepared(question.step, error=f"{what}: {text}", unreadable=unreadable, where=where)
            case MakeOutput():
                return OutputMade(error=text, where=where)
            case _:
                assert_never(question)

    def _prepared(self, step: str, record: Record, value: Any, ctx: Context) -> Prepared:
        node = self._definition.nodes[step]
        assert node.prepare is not None
        match self._definition.plan.by_name[step].kind:
            case "timer":
                return Prepared(step, due=_due(finished(node.prepare(value, ctx)), record.updated_at))
            case "each":
                given = [self._arguments.result(record, name) for name in node.inputs] or [value, ctx]
                items = _items(finished(node.prepare(*given), may_yield=True))
                return Prepared(step, self._encoded(node, items, record), len(items))
            case _:
                return Prepared(step, self._encoded(node, finished(node.prepare(value, ctx)), record))

    def _encoded(self, node: NodeDefinition, value: object, record: Record) -> msgspec.Raw:
        assert node.given is not None
        return self._payloads.write(node.given, value, record, given_part(first_name(record, node.name)))


def _items(found: object) -> list[Any]:
    # a text and a dict can be iterated, too, but nobody means their letters or keys
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise TypeError(f"what computes the items returned {told(found)}: return a list")
    return list(found)


def _due(wait: object, now: float) -> float:
    if isinstance(wait, timedelta):
        return now + wait.total_seconds()
    if not isinstance(wait, datetime):  # a number might be seconds from now, or since 1970
        raise TypeError(
            f"the timer's function returned {wait!r}: return a timedelta, such as timedelta(seconds=5), or a datetime "
            "with a time zone"
        )
    return epoch_seconds(wait)
