"""The codec of records: JSON that keeps the fields which this version does not know.

A value is a record only under its own key: its type and id must name that key. Everything else is reported and left
alone (P11): other JSON, times outside the calendar, an owner that cannot be a worker.
"""

from __future__ import annotations

import msgspec

from sagakit.definition.payloads import digest_of, plain_digest
from sagakit.engine.record import NOTHING, SCHEMA, EndMarker, PersistedSagaState, Record, StepLog, Time
from sagakit.engine.table import ENDS
from sagakit.errors import UNREADABLE, NewerSchema, Undecodable
from sagakit.naming import is_key_of, is_worker_id

SHOWN = 80
"""Bytes of a value that an error text shows."""


class UnknownFields(msgspec.Struct, frozen=True):
    """The fields of a record that this version does not know. Its owner writes them back with each write."""

    top: dict[str, msgspec.Raw]
    steps: dict[str, dict[str, msgspec.Raw]]


class Loaded(msgspec.Struct, frozen=True):
    """A decoded record, with the unknown fields that its bytes had."""

    record: Record
    unknown: UnknownFields | None


class RecordHeader(msgspec.Struct, frozen=True):
    """The fields that a scan reads of every value before it decodes a few of them. `ended` is set in an end marker."""

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
    """A record without unknown fields. Most records are, and a strict decoder is the fastest way to find that out."""

    steps: dict[str, _StrictStep]  # type: ignore[assignment]  # of a dict, whose values vary


_encoder = msgspec.json.Encoder()
_header = msgspec.json.Decoder(RecordHeader)
_record = msgspec.json.Decoder(PersistedSagaState[msgspec.Raw])
_marker = msgspec.json.Decoder(EndMarker)
_strict = msgspec.json.Decoder(_Strict)
_top = msgspec.json.Decoder(dict[str, msgspec.Raw])
_steps = msgspec.json.Decoder(_Anything)

_KNOWN_TOP = frozenset(PersistedSagaState.__struct_fields__)
_KNOWN_STEP = frozenset(StepLog.__struct_fields__)


def encode(record: Record, unknown: UnknownFields | None = None) -> bytes:
    """Return the record as JSON. The same record and fields give the same bytes, so that a resend is the same write."""
    data = _encoder.encode(record)
    return data if unknown is None else _merge(data, unknown)


def encode_marker(marker: EndMarker) -> bytes:
    """Return the end marker as JSON."""
    return _encoder.encode(marker)


def marker_of(record: Record) -> bytes:
    """Return the end marker of a record that has ended, as JSON."""
    outcome = record.outcome
    assert outcome is not None, "a terminal record has an outcome"
    start = plain_digest(record.start_id.encode()) if record.start_id else ""
    return encode_marker(EndMarker(outcome.at, outcome.status, record.input_digest, record.run, start))


def is_started_by(known: Record | EndMarker, message_id: str) -> bool:
    """Return True if the message with this id has started the saga; False for an empty id."""
    if not message_id:
        return False
    if isinstance(known, EndMarker):
        return known.start_digest == plain_digest(message_id.encode())
    return known.start_id == message_id


def read_header(key: str, value: bytes) -> RecordHeader:
    """Return the header of the value under a live key, at a fraction of the cost of `decode`.

    Raises Undecodable, NewerSchema.
    """
    try:
        seen = _header.decode(value)
    except UNREADABLE as error:
        raise _undecodable(key, value, str(error)) from error
    if seen.ended is None:
        _check(key, value, seen.schema or 0, seen.saga_type, seen.saga_id, seen.owner)
    return seen


def decode(key: str, value: bytes) -> Loaded | EndMarker:
    """Return the record or end marker under a key. Raises Undecodable, NewerSchema: the value is left alone (P11)."""
    found = decode_known(key, value)
    return found if isinstance(found, EndMarker) else Loaded(found, _unknown(value))


def decode_known(key: str, value: bytes) -> Record | EndMarker:
    """Return the record or end marker under a key, without the fields that this version does not know.

    That takes half the time of `decode`, and is for those who never write the record back. Raises as `decode`.
    """
    try:
        record = _record.decode(value)
    except UNREADABLE as error:
        if read_header(key, value).ended is None:
            raise _undecodable(key, value, str(error)) from error
        return _decode_marker(key, value)
    _check(key, value, record.schema, record.saga_type, record.saga_id, record.owner)
    _check_outcome(key, value, record)
    return _own_memory(record)


def foreign(key: str, value: bytes) -> Undecodable | None:
    """Return an error that says why a value is not a record of the saga under `key`; None if it is one.

    A record of any run, owner or schema counts as one, and an end marker, too: sagakit has written them.
    """
    try:
        decode(key, value)
    except NewerSchema:
        return None
    except Undecodable as error:
        return error
    return None


def _check(key: str, value: bytes, schema: int, saga_type: str | None, saga_id: str | None, owner: str) -> None:
    """Raise Undecodable or NewerSchema unless the header is that of a record of this schema under this key."""
    newer = schema > SCHEMA  # a later schema may name its saga in another way: without a name it is still NewerSchema
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
    """Raise Undecodable for an end without an outcome, which a foreign value may lack and all readers rely on."""
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
    """Return a text that tells inputs apart: of a sealed input the digest that was taken before it was sealed."""
    return digest_of(value)


def _own_memory(record: Record) -> Record:
    """Copy the record's JSON values: a Raw is a view into the message that it came in, and would keep it in memory."""
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
