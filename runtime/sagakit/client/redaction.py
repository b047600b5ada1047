"""Redaction: the values that people are not to see, by the paths of their fields. Nothing that is stored is changed.

Sealed values are opened first, or told in words where this program has no codec that opens them.

A path is the end of the way to a field, with dots between names: `password` is each field of that name, `card.number`
each `number` within a `card`, `input.email` the `email` of an input, and `*` stands for any text. The way begins with
the kind of value: input, output, result, detail, given, attributes, payload. Elements of lists have no names of their
own. Upper and lower case are the same. Texts of errors and reasons are not looked into.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from fnmatch import translate
from typing import TYPE_CHECKING, Any

import msgspec

from sagakit.client.shown_values import ShownValues
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine.record import Failure, Record, SagaOutcome, StepLog
from sagakit.errors import UNREADABLE, InvalidConfig, InvalidInput
from sagakit.repository.filters import All, AnyOf, Comparison, Condition, Not

if TYPE_CHECKING:  # a command that lists sagas does not need them
    from sagakit.client.description import Description
    from sagakit.client.letters import Letter
    from sagakit.engine.events import CloudEvent

HIDDEN = "***"
"""The text that stands in place of a hidden value."""
VARIABLE = "SAGAKIT_REDACT"
"""The environment variable with the paths of commands, separated by commas."""
_HIDDEN_JSON = msgspec.Raw(msgspec.json.encode(HIDDEN))
_PATH = re.compile(r"[^\s.,]+(\.[^\s.,]+)*")


class Redaction:
    """Hides values. Makes copies, and returns what it was given where nothing is to be hidden."""

    def __init__(self, paths: Iterable[str] = (), payloads: Payloads = PLAIN_PAYLOADS) -> None:
        """Take the paths of the fields to hide, and what opens sealed values. Raises InvalidConfig."""
        self._shown = ShownValues(payloads)
        if isinstance(paths, str):
            raise InvalidConfig(f"redact={paths!r}: give a list of paths, such as [{paths!r}]")
        patterns = [translate(f"*.{_checked(path)}") for path in paths]
        self._hidden = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def opening(self, payloads: Payloads) -> Redaction:
        """Return a redaction of the same fields that opens sealed values by these payloads."""
        other = copy(self)
        other._shown = ShownValues(payloads)
        return other

    def hides(self, way: Sequence[str]) -> bool:
        """Return True if the field at the end of a way is hidden."""
        return self._hidden is not None and self._hidden.match("." + ".".join(way)) is not None

    def value(self, value: Any, *way: str) -> Any:
        """Return a JSON value with what is hidden in it replaced. `way` leads to the value itself."""
        if self._hidden is None:
            return value
        if way and self.hides(way):
            return HIDDEN
        if isinstance(value, Mapping):
            return {name: self.value(one, *way, str(name)) for name, one in value.items()}
        return [self._element(one, way) for one in value] if isinstance(value, list | tuple) else value

    def _element(self, value: Any, way: Sequence[str]) -> Any:
        return self.value(value, *way) if isinstance(value, Mapping | list | tuple) else value

    def raw(self, data: msgspec.Raw, *way: str) -> msgspec.Raw:
        """Return JSON with what is hidden in it replaced. JSON that cannot be read is hidden as a whole."""
        if self._hidden is None or not len(memoryview(data)):
            return data
        try:
            found = msgspec.json.decode(data)
        except UNREADABLE:
            return _HIDDEN_JSON
        shown = self.value(found, *way)
        return data if shown == found else msgspec.Raw(msgspec.json.encode(shown))

    # ------------------------------------------------------------------ what people look at

    def record(self, record: Record) -> Record:
        """Return a record as people may see it. A digest of an input that is hidden in part is hidden, too."""
        record = self._shown.record(record)
        if self._hidden is None:
            return record
        input, outcome = self.raw(record.input, "input"), record.outcome
        return msgspec.structs.replace(
            record,
            input=input,
            input_digest=record.input_digest if bytes(input) == bytes(record.input) else HIDDEN,
            steps={name: self._step(log) for name, log in record.steps.items()},
            attributes=self.value(record.attributes, "attributes"),
            failure=self._failure(record.failure),
            outcome=None if outcome is None else self._outcome(outcome),
            outbox=[msgspec.structs.replace(one, data=self.raw(one.data)) for one in record.outbox],
        )

    def _step(self, log: StepLog) -> StepLog:
        return msgspec.structs.replace(
            log,
            result=self.raw(log.result, "result"),
            detail=self.raw(log.detail, "detail"),
            given=self.raw(log.given, "given"),
            progress=self.raw(log.progress, "progress"),
        )

    def _failure(self, failure: Failure | None) -> Failure | None:
        return failure and msgspec.structs.replace(failure, detail=self.raw(failure.detail, "detail"))

    def _outcome(self, outcome: SagaOutcome) -> SagaOutcome:
        output, failure = self.raw(outcome.output, "output"), self._failure(outcome.failure)
        return msgspec.structs.replace(outcome, output=output, failure=failure)

    def event(self, event: CloudEvent) -> CloudEvent:
        """Return an event as people may see it."""
        event = self._shown.event(event)
        return msgspec.structs.replace(event, data=self.value(event.data)) if self._hidden else event

    def description(self, found: Description) -> Description:
        """Return the description of a saga, whose values are plain JSON, as people may see it."""
        return msgspec.structs.replace(
            found,
            input=self.value(found.input, "input"),
            output=self.value(found.output, "output"),
            attributes=self.value(found.attributes, "attributes"),
            steps=[
                msgspec.structs.replace(
                    step,
                    result=self.value(step.result, "result"),
                    progress=self.value(step.progress, "progress"),
                )
                for step in found.steps
            ],
        )

    def letter(self, letter: Letter) -> Letter:
        """Return a dead letter as people may see it: a payload that is not JSON, or was cut, is hidden as a whole."""
        payload = bytes(self.raw(self._shown.message(letter.payload, letter.subject), "payload"))
        return msgspec.structs.replace(letter, payload=payload, headers=self.value(letter.headers, "headers"))

    def check_filter(self, condition: Condition) -> None:
        """Raise InvalidInput for a filter that would find out a hidden attribute by trying values."""
        match condition:
            case Comparison(field=field):
                if self.hides(field.split(".", 1)):
                    raise InvalidInput(f"{field}: it is hidden here, so no filter may name it")
            case Not(of=part):
                self.check_filter(part)
            case All(of=parts) | AnyOf(of=parts):
                for part in parts:
                    self.check_filter(part)


def paths_of_environment() -> Sequence[str]:
    """Return the paths that SAGAKIT_REDACT has for commands and for `sagakit web`."""
    said = os.environ.get(VARIABLE, "")
    return [path.strip() for path in said.split(",")] if said.strip() else ()


NO_REDACTION: Redaction = Redaction()
"""Hides nothing."""


def _checked(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise InvalidConfig(
            f"redact: {path!r} is not the path of a field: write names with dots between them, such as password, "
            "card.number or input.*token*"
        )
    return path
