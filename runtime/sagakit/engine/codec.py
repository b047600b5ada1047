"""Records to bytes and back. Fields that this version does not know survive the round trip.

A value is a record only under its own key: its type and id must name the key. Everything else is reported and left
alone (P11): JSON of another kind, times that are none, an owner that cannot be a worker.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from sagakit.engine.record import NOTHING, SCHEMA, EndMarker, PersistedSagaState, Record, StepLog, Time
from sagakit.engine.table import ENDS
from sagakit.errors import UNREADABLE, NewerSchema, Undecodable
from sagakit.naming import is_key_of, is_worker_id

SHOWN = 80
"""Bytes of a value that an error shows."""


class UnknownFields(msgspec.Struct, frozen=True):
    """What a record had that this version does not know; written back with each write of the same owner."""

    top: dict[str, msgspec.Raw]
    steps: dict[str, dict[str, msgspec.Raw]]


class Loaded(msgspec.Struct, frozen=True):
    """A decoded record with what else its bytes held."""

    record: Record
    unknown: UnknownFields | None


class RecordHeader(msgspec.Struct, frozen=True):
    """What a scan wants to know of a value before it reads all of it. `ended` is set in an end marker."""

    schema: int | None = None
    saga_type: str | None = None
    saga_id: str | None = None
    ended: Time | None = None
    owner: str = ""


class _Anything(msgspec.Struct):
    steps: dict[str, dict[str, msgspec.Raw]] = {}


class _StrictStep(StepLog, forbid_unknown_fields=True):
    pass


class _Strict(PersistedSagaState[msgspec.Raw], forbid_unknown_fields=True):
    """To see whether there is anything unknown: most records have nothing, and this is the fastest way to say so."""

    steps: dict[str, _StrictStep]  # type: ignore[assignment]  # of a dict, whose values vary


_encoder = msgspec.json.Encoder()
_glimpse = msgspec.json.Decoder(RecordHeader)
_record = msgspec.json.Decoder(PersistedSagaState[msgspec.Raw])
_marker = msgspec.json.Decoder(EndMarker)
_strict = msgspec.json.Decoder(_Strict)
_top = msgspec.json.Decoder(dict[str, msgspec.Raw])
_steps = msgspec.json.Decoder(_Anything)

_KNOWN_TOP = frozenset(PersistedSagaState.__struct_fields__)
_KNOWN_STEP = frozenset(StepLog.__struct_fields__)


def encode(record: Record, unknown: UnknownFields | None = None) -> bytes:
    """The record as JSON; the same record always gives the same bytes."""
    data = _encoder.encode(record)
    return data if unknown is None else _merge(data, unknown)


def encode_marker(marker: EndMarker) -> bytes:
    """The end marker as JSON."""
    return _encoder.encode(marker)


def marker_of(record: Record) -> bytes:
    """The end marker of a terminal record, as JSON."""
    outcome = record.outcome
    assert outcome is not None, "a terminal record has an outcome"
    return encode_marker(EndMarker(outcome.at, outcome.status, record.input_digest, record.run))


def read_header(key: str, value: bytes) -> RecordHeader:
    """Look at what stands under a live key, at a fraction of the cost of `decode`, and with its errors."""
    try:
        seen = _glimpse.decode(value)
    except UNREADABLE as error:
        raise _undecodable(key, value, str(error)) from error
    if seen.ended is None:
        _check(key, value, seen.schema or 0, seen.saga_type, seen.saga_id, seen.owner)
    return seen


def decode(key: str, value: bytes) -> Loaded | EndMarker:
    """Read what stands under a key. Raises Undecodable or NewerSchema: then leave it alone (P11)."""
    try:
        record = _record.decode(value)
    except UNREADABLE as error:
        if read_header(key, value).ended is None:
            raise _undecodable(key, value, str(error)) from error
        return _decode_marker(key, value)
    _check(key, value, record.schema, record.saga_type, record.saga_id, record.owner)
    _check_outcome(key, value, record)
    return Loaded(_own_memory(record), _unknown(value))


def foreign(key: str, value: bytes) -> Undecodable | None:
    """Return why a value is not a record of the saga under `key`; None if it is one.

    A record counts of any run, owner and schema, and so does an end marker: sagakit has written it.
    """
    try:
        decode(key, value)
    except NewerSchema:
        return None
    except Undecodable as error:
        return error
    return None


def _check(key: str, value: bytes, schema: int, saga_type: str | None, saga_id: str | None, owner: str) -> None:
    """A schema to come may name its saga in another way: what names none is taken for a newer worker's."""
    newer = schema > SCHEMA
    if saga_type is None or saga_id is None:
        if not newer:
            raise _undecodable(key, value, "it names no saga")
    elif not is_key_of(key, saga_type, saga_id):
        raise _undecodable(key, value, f"it names the saga {saga_id[:SHOWN]!r} of type {saga_type[:SHOWN]!r}")
    if newer:
        raise NewerSchema(key, f"its schema is {schema}, this sagakit reads up to {SCHEMA}", "upgrade this worker")
    if not is_worker_id(owner):
        raise _undecodable(key, value, f"its owner {owner[:SHOWN]!r} is not a worker's id")


def _check_outcome(key: str, value: bytes, record: Record) -> None:
    """Whoever reads the end of a saga relies on this; a record from outside may lack it."""
    outcome = record.outcome
    if record.status in ENDS and (outcome is None or (outcome.status == "failed" and outcome.failure is None)):
        raise _undecodable(key, value, f"its status is {record.status}, and it does not say how it ended")


def _decode_marker(key: str, value: bytes) -> EndMarker:
    try:
        return _marker.decode(value)
    except UNREADABLE as error:
        raise _undecodable(key, value, str(error)) from error


def _undecodable(key: str, value: bytes, why: str) -> Undecodable:
    return Undecodable(key, f"not a record of this saga ({why}); it begins with {value[:SHOWN]!r}")


def digest(value: bytes | msgspec.Raw) -> str:
    """16 hex digits that tell inputs apart."""
    return sha256(bytes(value)).hexdigest()[:16]


def _own_memory(record: Record) -> Record:
    """A Raw is a view into the message it came in; a record lives longer than that."""
    record.input = record.input.copy()
    for log in record.steps.values():
        log.result = log.result.copy() if log.result is not NOTHING else NOTHING
        log.detail = log.detail.copy() if log.detail is not NOTHING else NOTHING
        log.given = log.given.copy() if log.given is not NOTHING else NOTHING
    return record


def _unknown(value: bytes) -> UnknownFields | None:
    try:
        _strict.decode(value)
    except msgspec.ValidationError:
        top, steps = _top.decode(value), _steps.decode(value).steps
        rest = {step: _copied(fields, _KNOWN_STEP) for step, fields in steps.items()}
        return UnknownFields(_copied(top, _KNOWN_TOP), {step: fields for step, fields in rest.items() if fields})
    return None


def _copied(fields: dict[str, msgspec.Raw], known: frozenset[str]) -> dict[str, msgspec.Raw]:
    return {name: raw.copy() for name, raw in fields.items() if name not in known}


def _merge(data: bytes, unknown: UnknownFields) -> bytes:
    fields = _top.decode(data)
    if unknown.steps:
        steps = _steps.decode(data).steps
        for step, rest in unknown.steps.items():
            steps.setdefault(step, {}).update(rest)
        fields["steps"] = msgspec.Raw(_encoder.encode(steps))
    return _encoder.encode(fields | unknown.top)
