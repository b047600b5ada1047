"""The public Python API as data: each name with its parameters, and of a class those of its public members."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeAlias, get_type_hints

PACKAGES = (
    "sagakit",
    "sagakit.asyncio",
    "sagakit.errors",
    "sagakit.outbox",
    "sagakit.participant",
    "sagakit.projection",
    "sagakit.testing",
    "sagakit_actors",
)
Parameters: TypeAlias = dict[str, list[Any]]
"""The parameters of a callable: how each is given, and whether it may be left out."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def public_api() -> dict[str, Parameters | None]:
    """Return each public name with its parameters; None for what cannot be called."""
    return dict(sorted(_described()))


def _described() -> Iterator[tuple[str, Parameters | None]]:
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__ if hasattr(module, "__all__") else dir(module):
            value = getattr(module, name)
            if name.startswith("_") or inspect.ismodule(value):
                continue
            yield f"{package}.{name}", _parameters(value)
            if inspect.isclass(value):
                yield from _members(f"{package}.{name}", value)


def _members(prefix: str, owner: type) -> Iterator[tuple[str, Parameters | None]]:
    """Yield what a class defines itself and inherits from other classes of ours."""
    ours = [base for base in owner.__mro__ if base.__module__.startswith("sagakit")]
    for name in {name for base in ours for name in vars(base) if not name.startswith("_")}:
        yield f"{prefix}.{name}", _parameters(inspect.getattr_static(owner, name))


def _parameters(value: Any) -> Parameters | None:
    value = getattr(value, "__func__", value)  # of a classmethod or a staticmethod
    if not callable(value):
        return None
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # an alias of a type, or a class made in C
        return None
    found: Parameters = {}
    for one in signature.parameters.values():
        options = _options(value, one)
        found |= options or {one.name: [one.kind.name, one.default is not one.empty or one.kind in _VARIADIC]}
    return found


def _options(value: Any, parameter: inspect.Parameter) -> Parameters:
    """Return the keywords of `**options: Unpack[...]`; nothing for any other parameter."""
    named = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
    if named is None:
        return {}
    unpacked = inspect.unwrap(value).__globals__[named[1]]
    return {name: ["KEYWORD_ONLY", name in unpacked.__optional_keys__] for name in get_type_hints(unpacked)}


def broken(before: Mapping[str, Parameters | None], now: Mapping[str, Parameters | None]) -> Iterator[str]:
    """Yield why a program written for the API before may not run on the one of now."""
    for name, parameters in before.items():
        if name not in now:
            yield f"{name} has gone"
        elif parameters is not None:
            yield from (f"{name}: {why}" for why in _narrowed(parameters, now[name]))


def _narrowed(before: Parameters, now: Parameters | None) -> Iterator[str]:
    if now is None:
        yield "cannot be called any more"
        return
    catches_all = any(kind == "VAR_KEYWORD" for kind, _ in now.values())
    for name, (kind, optional) in before.items():
        if name not in now:
            if not catches_all:
                yield f"the parameter {name} has gone"
        elif now[name][0] != kind and now[name][0] != "POSITIONAL_OR_KEYWORD":
            yield f"the parameter {name} is given in another way"
        elif optional and not now[name][1]:
            yield f"the parameter {name} must be given"
    positional = [name for name, (kind, _) in before.items() if kind.startswith("POSITIONAL")]
    if positional != [name for name, (kind, _) in now.items() if kind.startswith("POSITIONAL")][: len(positional)]:
        yield "the order of its parameters is another one"
    for name, (_, optional) in now.items():
        if name not in before and not optional:
            yield f"the new parameter {name} must be given"
