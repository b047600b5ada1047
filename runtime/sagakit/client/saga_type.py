"""The type of a saga as a client has it: by its class, or by its name alone."""

from __future__ import annotations

from inspect import isclass
from typing import Any

import msgspec

from sagakit.binding.record_values import RecordValues
from sagakit.definition import Codec, Definition, Saga, compiled
from sagakit.definition.nesting import check_nesting
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine import EndMarker, Record
from sagakit.engine.value_places import known_input_place
from sagakit.errors import InvalidInput, UnreadableValue, Unwritable
from sagakit.naming import SagaKey, check_name

_anything = Codec(Any)


class SagaType(msgspec.Struct, frozen=True):
    """A type of saga. Without its class, values are plain JSON, and only the workers check them."""

    name: str
    saga: type[Saga[Any, Any]] | str
    """The class, or the name again."""
    definition: Definition | None = None
    payloads: Payloads = PLAIN_PAYLOADS

    @classmethod
    def of(cls, saga: object, payloads: Payloads = PLAIN_PAYLOADS) -> SagaType:
        """Return the type of a class or name. Raises InvalidInput, InvalidName, DefinitionError."""
        if isinstance(saga, str):
            return cls(check_name(saga, what="the saga type"), saga, payloads=payloads)
        if isclass(saga) and issubclass(saga, Saga):
            definition = compiled(saga)
            return cls(definition.plan.saga_type, saga, definition, payloads)
        raise InvalidInput(
            f"{saga!r} is not a Saga class, nor the name of a type: a client takes the class itself, not an instance"
        )

    def encode_input(self, value: object) -> bytes:
        """Return an input as plain JSON. Raises InvalidInput."""
        if self.definition is not None:
            return self.definition.encode_input(value)
        try:
            data = bytes(value) if isinstance(value, msgspec.Raw) else _anything.encode(value)
            check_nesting(data)
            msgspec.json.decode(data)
        except (Unwritable, ValueError) as error:
            raise InvalidInput(f"the input of {self.name} is not JSON: {error}") from None
        return data

    def same_input(self, value: bytes, saga_id: str, known: Record | EndMarker) -> bool | None:
        """Return True if the saga was started with this input, False if it was not; None if only a worker can tell."""
        if known.input_digest in self.payloads.digests(value, *known_input_place(SagaKey(self.name, saga_id), known)):
            return True
        if self.definition is None:
            return None
        if isinstance(known, EndMarker):
            return False
        try:
            return self.definition.input.same(RecordValues(self.payloads).input(known), value)
        except UnreadableValue:  # another version has started it, or it is sealed
            return None
