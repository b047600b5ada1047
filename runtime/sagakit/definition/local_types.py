"""The field types of classes that are defined in a function, which may name other local types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ForwardRef, get_args, get_type_hints

_LOCALS = ".<locals>."


def resolve_fields(hint: Any, names: Mapping[str, Any], saga: type) -> None:
    """Replace texts in the annotations of local classes within `hint` by types, as far as these are known.

    `names` are those that the saga's class body sees. They are also valid for classes in a function around the saga;
    elsewhere the same names might be other types. msgspec itself looks in the module only.
    """
    for cls in _classes_within(hint, set()):
        if is_local_with(cls, saga):
            _resolve(cls, names)


def is_local_with(cls: type, saga: type) -> bool:
    """Return whether the saga is defined in the function that a class is local to."""
    function, local, _ = cls.__qualname__.rpartition(_LOCALS)
    return bool(local) and cls.__module__ == saga.__module__ and saga.__qualname__.startswith(function + local)


def why_unknown(hint: Any, saga: type) -> str:
    """Return advice on a field whose type is not found; an empty text if there is no special reason."""
    for cls in _classes_within(hint, set()):
        if is_local_with(cls, saga):
            return (
                "a field of a class that is defined in a function may name types above the saga in that function: move "
                "it up"
            )
        if _LOCALS in cls.__qualname__:
            return (
                f"it is named by a field of {cls.__qualname__}, and {saga.__name__} is not defined in that function: "
                "move the classes to the module, or do without `from __future__ import annotations` there"
            )
        if "." in cls.__qualname__:
            around = cls.__qualname__.rpartition(".")[0]
            return f"a class does not see the names of the class around it: write {around}.…, or move it to the module"
    return ""


def _resolve(cls: type, names: Mapping[str, Any]) -> None:
    own = cls.__annotations__
    for name, text in own.items():
        if isinstance(text, str | ForwardRef):
            with suppress(NameError, TypeError, SyntaxError):  # msgspec reports it with the field
                own[name] = _evaluated(text, cls, names)


def _evaluated(text: str | ForwardRef, cls: type, names: Mapping[str, Any]) -> Any:
    holder = type(cls.__name__, (), {"__annotations__": {"it": text}, "__module__": cls.__module__})
    return get_type_hints(holder, localns={**names, **vars(cls)}, include_extras=True)["it"]


def _classes_within(hint: Any, seen: set[int]) -> Iterator[type]:
    """Yield the classes with fields within a type and their bases, outer ones first."""
    if id(hint) in seen:
        return
    seen.add(id(hint))
    for one in get_args(hint):
        yield from _classes_within(one, seen)
    for cls in hint.__mro__ if isinstance(hint, type) and hasattr(hint, "__mro__") else ():
        if "." in cls.__qualname__ and cls.__module__ != "builtins":
            yield cls
            for field in list(cls.__annotations__.values()):
                yield from _classes_within(field, seen)
