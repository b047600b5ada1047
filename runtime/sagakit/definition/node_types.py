"""The types that a class body names for its nodes, and their codecs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagakit.definition.annotations import NotKnownYet, show
from sagakit.definition.local_types import resolve_fields, why_unknown
from sagakit.definition.value_codec import Codec
from sagakit.errors import DefinitionError


def codec_of(saga: type, where: str, type: Any, names: Mapping[str, Any]) -> Codec:
    """Return the codec of a type. `names` are those that the class body sees. Raises DefinitionError, NotKnownYet."""
    what = f"{saga.__name__}.{where}"
    try:
        try:
            return Codec(type, what)
        except NameError:
            resolve_fields(type, names, saga)
            return Codec(type, what)
    except NameError as error:
        raise NotKnownYet(f"{what}: within {show(type)}", error, why_unknown(type, saga)) from None
    except TypeError as error:
        raise DefinitionError(f"{what}: {show(type)} cannot be kept as JSON: {error}") from None


_TYPING = ("typing", "typing_extensions", "types", "builtins")
"""Modules of the classes whose instances are types."""


def may_be_a_type(payload: object) -> bool:
    """Return True if this may be a type or a special form of `typing`, such as a union, and is not a value."""
    known: Any = (str, bytes, int, float, list, tuple, dict, set)
    module = type(payload).__module__
    return isinstance(payload, type) or payload is None or (module in _TYPING and not isinstance(payload, known))
