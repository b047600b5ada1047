"""What a user's function says of its types."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from sagakit.errors import DefinitionError


class Signature(NamedTuple):
    """Parameters after `self`, by name and type, and the result's type."""

    parameters: list[tuple[str, Any]]
    returns: Any


def signature_of(fn: Callable[..., Any], namespace: Mapping[str, Any], *, where: str) -> Signature:
    """Read a function's annotations. Raises DefinitionError where one is missing, NameError where none can be found."""
    names = [
        parameter.name
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    hints = get_type_hints(fn, localns=dict(namespace))
    missing = [name for name in [*names[1:], "return"] if name not in hints]
    if missing:
        raise DefinitionError(f"{where}: annotate {', '.join(missing)}: its types say how results are kept and checked")
    return Signature([(name, hints[name]) for name in names[1:]], hints["return"])


def accepts(declared: Any, given: Any) -> bool:
    """Whether a parameter declared so takes a value of the given type.

    Decides for plain classes and unions of them; what is generic is left to the type checker.
    """
    if declared is Any or declared is object or given is Any or declared == given:
        return True
    if given is None or given is NoneType:
        return NoneType in _members(declared)
    wanted, offered = _members(declared), _members(given)
    if not all(isinstance(one, type) for one in (*wanted, *offered)):
        return NoneType in wanted or NoneType not in offered
    return all(any(issubclass(one, other) for other in wanted) for one in offered)


def _members(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, UnionType):
        return get_args(hint)
    return (NoneType,) if hint is None else (hint,)


def show(hint: Any) -> str:
    """A type as it would be written."""
    if hint is NoneType:
        return "None"
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def asked_results(fn: Callable[..., Any]) -> set[str]:
    """The names N in calls of the form `ctx.result(Anything.N)` within a function, as far as its source is there."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, SyntaxError):
        return set()
    return {
        call.args[0].attr
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "result"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Attribute)
    }
