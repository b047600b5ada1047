"""The values of records, opened: plain JSON, whether a payload codec has sealed it or not."""

from __future__ import annotations

import msgspec

from sagakit.definition.payloads import Payloads, is_sealed
from sagakit.engine.record import Record
from sagakit.engine.value_places import (
    DETAIL,
    first_name,
    given_part,
    input_place,
    output_place,
    progress_part,
    result_part,
)
from sagakit.errors import UnreadableValue


class RecordValues:
    """Opens the values of records. Each method returns plain JSON, and raises UnreadableValue."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    def input(self, record: Record) -> bytes | msgspec.Raw:
        """Return the input."""
        value = record.input
        return self._payloads.opened(value, *input_place(record, record.parent)) if is_sealed(value) else value

    def output(self, record: Record, value: msgspec.Raw) -> bytes | msgspec.Raw:
        """Return the output."""
        return self._payloads.opened(value, *output_place(record)) if is_sealed(value) else value

    def result(self, record: Record, step: str) -> bytes | msgspec.Raw:
        """Return a step's result."""
        value = record.steps[step].result
        if not is_sealed(value):
            return value
        try:
            return self._payloads.opened(value, record, result_part(first_name(record, step)))
        except UnreadableValue:
            if not record.steps[step].named:
                raise
        return self._payloads.opened(value, record, result_part(step))  # its sender had the new name

    def progress(self, record: Record, step: str) -> bytes | msgspec.Raw:
        """Return how far a step has come."""
        value, part = record.steps[step].progress, progress_part(first_name(record, step))
        return self._payloads.opened(value, record, part) if is_sealed(value) else value

    def given(self, record: Record, step: str) -> bytes | msgspec.Raw:
        """Return the value that a node has begun with."""
        value = record.steps[step].given
        return self._payloads.opened(value, record, given_part(first_name(record, step))) if is_sealed(value) else value

    def detail(self, value: msgspec.Raw) -> bytes | msgspec.Raw:
        """Return the detail of a refusal."""
        return self._payloads.opened(value, *DETAIL) if is_sealed(value) else value
