"""Claims: references in a record to large values, which are stored beside the records (the pattern "claim check").

A claim is JSON of one form: `{"$sagakit.claim":"{scope}.{sha256}","size":{bytes}}`. The scope is the run of the saga,
or, for the input of a start that is on its way, an id of the sender's. The rules of sagas never look into a value, so
they take a claim for the value itself. Only user code and readers get values, and they get them filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec import structs

from sagakit.engine.events import CloudEvent
from sagakit.engine.record import CLAIMING_SCHEMA, Record

LARGEST = 64 * 2**20
"""Bytes of a claimed value, at the most: a worker holds it in memory."""

_FORM = re.compile(rb'\{"\$sagakit\.claim":"([0-9A-Za-z_-]{1,64})\.([0-9a-f]{64})","size":([0-9]{1,12})\}')
_HEAD = b'{"$sagakit.claim":'
_LONGEST = 256
_CARRIED = ("input", "result", "output")
"""The fields of events whose values may be claims: see `engine.carried`."""
_encoder = msgspec.json.Encoder()


class ValueClaim(NamedTuple):
    """A reference to a value of `size` bytes."""

    scope: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The name of the value, within its saga."""
        return f"{self.scope}.{self.sha256}"

    def as_value(self) -> msgspec.Raw:
        """Return the JSON that is kept in the place of the value."""
        return msgspec.Raw(b'{"$sagakit.claim":"%b","size":%d}' % (self.name.encode(), self.size))

    def fits(self, value: bytes) -> bool:
        """Return True if the value is the one that was stored, byte for byte."""
        return len(value) == self.size and sha256(value).hexdigest() == self.sha256


def claim_of(value: bytes | msgspec.Raw, scope: str) -> ValueClaim:
    """Return the claim of a value."""
    return ValueClaim(scope, sha256(value).hexdigest(), len(memoryview(value)))


def read_claim(value: bytes | msgspec.Raw) -> ValueClaim | None:
    """Return the claim that a value is; None for any other value."""
    if len(memoryview(value)) > _LONGEST or not (data := bytes(value)).startswith(_HEAD):
        return None
    found = _FORM.fullmatch(data)
    return None if found is None else ValueClaim(found[1].decode(), found[2].decode(), int(found[3]))


def claims_in(record: Record) -> Sequence[ValueClaim]:
    """Return the claims of a record. Only one that has the schema of claims has any."""
    return () if record.schema < CLAIMING_SCHEMA else tuple(claims_told(record))


def claims_told(record: Record) -> Iterator[ValueClaim]:
    """Yield the claims of a record that is made of events, which do not say its schema."""
    for value in _values(record):
        claim = read_claim(value)
        if claim is not None and claim.scope == record.run:
            yield claim


def filled(record: Record, values: Mapping[str, bytes]) -> Record:
    """Return the record with its claims replaced by the `values`, which have their names."""

    def fill(value: msgspec.Raw) -> msgspec.Raw:
        claim = read_claim(value)
        found = None if claim is None or claim.scope != record.run else values.get(claim.name)
        return value if found is None else msgspec.Raw(found)

    return with_values(record, fill) if values else record


def with_values(record: Record, change: Callable[[msgspec.Raw], msgspec.Raw]) -> Record:
    """Return the record with each value as `change` returns it: a claim, or the value itself."""
    outcome = record.outcome
    return structs.replace(
        record,
        input=change(record.input),
        steps={name: structs.replace(log, result=change(log.result)) for name, log in record.steps.items()},
        outcome=None if outcome is None else structs.replace(outcome, output=change(outcome.output)),
    )


def marked(record: Record) -> Record:
    """Return the record with the schema of those that may have claims."""
    return structs.replace(record, schema=CLAIMING_SCHEMA)


def _values(record: Record) -> Iterator[msgspec.Raw]:
    """Yield the values that may be claims: the input, results, the output."""
    yield record.input
    for log in record.steps.values():
        yield log.result
    if record.outcome is not None:
        yield record.outcome.output


def claims_in_events(events: Iterable[CloudEvent], run: str) -> Iterator[ValueClaim]:
    """Yield the claims that events of a run carry."""
    for event in events:
        yield from _claims_in_data(event, run).values()


def filled_event(event: CloudEvent, run: str, values: Mapping[str, bytes]) -> CloudEvent:
    """Return an event with the `values`, which have the names of its claims, in their places."""
    claims = _claims_in_data(event, run)
    if not claims:
        return event
    found = {field: msgspec.json.decode(values[claim.name]) for field, claim in claims.items()}
    return structs.replace(event, data={**event.data, **found})


def event_with_values(event: CloudEvent, claim: Callable[[msgspec.Raw], msgspec.Raw]) -> CloudEvent:
    """Return an event with each value that it carries as `claim` returns it."""
    data = {
        field: msgspec.json.decode(claim(msgspec.Raw(_encoder.encode(value)))) if field in _CARRIED else value
        for field, value in event.data.items()
    }
    return structs.replace(event, data=data)


def _claims_in_data(event: CloudEvent, run: str) -> dict[str, ValueClaim]:
    """Return the claims in an event's data, by the names of their fields."""
    values = {field: event.data[field] for field in _CARRIED if field in event.data}
    found = {field: read_claim(_encoder.encode(value)) for field, value in values.items() if _has_form(value)}
    return {field: claim for field, claim in found.items() if claim is not None and claim.scope == run}


def _has_form(value: object) -> bool:
    return isinstance(value, dict) and "$sagakit.claim" in value
