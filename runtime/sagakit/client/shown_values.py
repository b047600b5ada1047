"""Values as people are shown them: opened, or described in words where this program has no codec that opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from sagakit.binding.record_values import RecordValues
from sagakit.definition.payloads import MARK, PLAIN_PAYLOADS, Payloads, is_sealed, seal_text
from sagakit.definition.plan import item_name
from sagakit.engine.events import CloudEvent
from sagakit.engine.keys import step_of
from sagakit.engine.record import Failure, Parent, Record, SagaOutcome, StepLog
from sagakit.engine.value_places import DETAIL, given_part, input_place, result_part
from sagakit.errors import UNREADABLE, InvalidId, UnreadableValue
from sagakit.naming import SagaKey


class ShownValues:
    """Opens the values of records and events for people. Never raises: a value that stays sealed is told in words.

    Without `words`, for programs, it stays as it is.
    """

    def __init__(self, payloads: Payloads = PLAIN_PAYLOADS, *, words: bool = True) -> None:
        self._payloads = payloads
        self._words = words
        self._values = RecordValues(payloads)

    def record(self, record: Record) -> Record:
        """Return a record with plain values."""
        values, outcome = self._values, record.outcome
        return msgspec.structs.replace(
            record,
            input=_shown(record.input, partial(values.input, record)),
            steps={name: self._step(record, name, log) for name, log in record.steps.items()},
            failure=self._failure(record.failure),
            outcome=None if outcome is None else self._outcome(record, outcome),
            outbox=[
                msgspec.structs.replace(one, data=self._data(record, one.data)) if _holds_sealed(one.data) else one
                for one in record.outbox
            ],
        )

    def _step(self, record: Record, name: str, log: StepLog) -> StepLog:
        if not any(map(is_sealed, (log.result, log.given, log.detail, log.progress))):
            return log
        return msgspec.structs.replace(
            log,
            result=_shown(log.result, partial(self._values.result, record, name)),
            given=_shown(log.given, partial(self._values.given, record, name)),
            detail=_shown(log.detail, partial(self._values.detail, log.detail)),
            progress=_shown(log.progress, partial(self._values.progress, record, name)),
        )

    def _failure(self, failure: Failure | None) -> Failure | None:
        if failure is None or not is_sealed(failure.detail):
            return failure
        detail = _shown(failure.detail, partial(self._values.detail, failure.detail))
        return msgspec.structs.replace(failure, detail=detail)

    def _outcome(self, record: Record, outcome: SagaOutcome) -> SagaOutcome:
        output = _shown(outcome.output, partial(self._values.output, record, outcome.output))
        return msgspec.structs.replace(outcome, output=output, failure=self._failure(outcome.failure))

    def _data(self, record: Record, data: msgspec.Raw) -> msgspec.Raw:
        fields = msgspec.json.decode(data)
        return msgspec.Raw(msgspec.json.encode(self._fields(fields, SagaKey(record.saga_type, record.saga_id))))

    def event(self, event: CloudEvent) -> CloudEvent:
        """Return an event with plain values."""
        if not any(map(seal_text, event.data.values())):
            return event
        saga = SagaKey(event.source.rpartition("/")[2], event.subject)
        return msgspec.structs.replace(event, data=self._fields(event.data, saga))

    def _fields(self, data: Mapping[str, Any], saga: SagaKey) -> dict[str, Any]:
        return {
            name: value if seal_text(value) is None else self._opened(value, _places(name, value, data, saga))
            for name, value in data.items()
        }

    def value(self, value: Any, saga: SagaKey, part: str) -> Any:
        """Return a JSON value in Python's types, opened if it is sealed and belongs to this place, or in words."""
        return value if seal_text(value) is None else self._opened(value, [(saga, part)])

    def _opened(self, value: Any, places: Iterable[tuple[SagaKey, str]]) -> Any:
        """Return a sealed value, opened if it belongs to one of these places, or in words."""
        sealed = msgspec.json.encode(value)
        for saga, part in places:
            with suppress(UnreadableValue):
                return msgspec.json.decode(self._payloads.opened(sealed, saga, part))
        return seal_text(value) if self._words else value

    def message(self, payload: bytes, subject: str) -> msgspec.Raw:
        """Return a message to a saga with plain values. The subject ends with the saga's type and id."""
        data = msgspec.Raw(payload)
        if not _holds_sealed(data):
            return data
        try:
            found = msgspec.json.decode(payload)
        except UNREADABLE:
            return data
        opened: Any = found
        with suppress(ValueError, InvalidId, AttributeError):
            saga = SagaKey.parse(".".join(subject.split(".")[-2:]))
            step = str(found.get("signal") or found.get("step") or step_of(str(found.get("key", ""))))
            opened = found | {"step": step}
            opened = found | {name: self._fields(opened, saga)[name] for name in ("input", "payload") if name in found}
        return msgspec.Raw(msgspec.json.encode(self.told(opened)))

    def told(self, value: Any) -> Any:
        """Return a JSON value in Python's types in which sealed values are told in words."""
        text = seal_text(value)
        if text is not None:
            return text
        if isinstance(value, dict):
            return {name: self.told(one) for name, one in value.items()}
        return [self.told(one) for one in value] if isinstance(value, list) else value


def _holds_sealed(data: msgspec.Raw) -> bool:
    return f'"{MARK}"'.encode() in bytes(data)


def _places(field: str, value: dict[str, Any], data: Mapping[str, Any], saga: SagaKey) -> Iterable[tuple[SagaKey, str]]:
    """Return the places where a value that an event or a message carries may belong."""
    step = str(data.get("step") or data.get("signal", ""))
    named = str(data.get("named") or step)
    if field in ("input", "output") and (place := _parents_place(value.get("of"), saga)) is not None:
        return [place]
    match field:
        case "input":
            parent = data.get("parent")
            key, part = input_place(saga, msgspec.convert(parent, Parent) if isinstance(parent, dict) else None)
            return [(SagaKey(key.saga_type, key.saga_id), part) if _is_child(saga, key.saga_id) else (saga, "input")]
        case "detail":
            return [DETAIL]
        case "given":
            return [(saga, given_part(named))]
        case "output":
            return [(saga, "output")]
    item = data.get("item")
    names = dict.fromkeys([named, step])  # the sender of a signal or a report may have had the new name
    return [(saga, result_part(item_name(name, item) if isinstance(item, int) else name)) for name in names]


def _parents_place(of: Any, saga: SagaKey) -> tuple[SagaKey, str] | None:
    """Return the place that a value names; None unless it is that of a saga's parent. Anybody may have written it."""
    if not isinstance(of, list) or len(of) != 3 or not all(isinstance(word, str) for word in of):
        return None
    return (SagaKey(of[0], of[1]), of[2]) if _is_child(saga, of[1]) else None


def _is_child(saga: SagaKey, parent_id: str) -> bool:
    return saga.saga_id.startswith(f"{parent_id}/")


def _shown(value: msgspec.Raw, opened: Callable[[], bytes | msgspec.Raw]) -> msgspec.Raw:
    if not is_sealed(value):
        return value
    try:
        return msgspec.Raw(bytes(opened()))
    except UnreadableValue:
        try:
            return msgspec.Raw(msgspec.json.encode(seal_text(msgspec.json.decode(value))))
        except UNREADABLE:
            return value
