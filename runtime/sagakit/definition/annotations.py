"""The annotations of a user's functions."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import reduce
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from sagakit.errors import DefinitionError


class NotKnownYet(NameError):
    """An annotation names a type that is not known yet: it may be defined below, or for type checkers only."""

    def __init__(self, where: str, error: NameError, mend: str = "") -> None:
        mend = mend or (
            "define it, or import it not only under `if TYPE_CHECKING`; a type that is defined in a function must be "
            "above the class"
        )
        super().__init__(f"{where}: {error.name or error} is not known at run time: {mend}")


class Signature(NamedTuple):
    """The parameters after `self`, by name and type, and the result's type."""

    parameters: list[tuple[str, Any]]
    returns: Any


def signature_of(fn: Callable[..., Any], namespace: Mapping[str, Any], *, where: str) -> Signature:
    """Return the annotations of a function. Raises DefinitionError, and NotKnownYet for a type that is not found."""
    names = _positional(fn)
    for one in inspect.signature(fn).parameters.values():
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty:
            raise DefinitionError(
                f"{where}: takes {one.name} by keyword, but is called by position: move it before the *"
            )
    try:
        hints = get_type_hints(fn, localns=dict(namespace), include_extras=True)
    except NameError as error:
        raise NotKnownYet(where, error) from None
    several = next((one for one in inspect.signature(fn).parameters.values() if one.kind is one.VAR_POSITIONAL), None)
    if several is not None and len(names) < 2:
        raise DefinitionError(
            f"{where}: takes *{several.name}, as a wrapper does that does not say what it wraps: put "
            "@functools.wraps(fn) above the wrapper, so that it has the types of the method"
        )
    missing = [name for name in [*names[1:], "return"] if name not in hints]
    if missing:
        raise DefinitionError(f"{where}: annotate {', '.join(missing)}: its types say how results are kept and checked")
    return Signature([(name, hints[name]) for name in names[1:]], hints["return"])


def _positional(fn: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(fn).parameters.values()
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def returned_by(fn: Callable[..., Any], namespace: Mapping[str, Any]) -> Any:
    """Return the annotated result type of a function; Any if it has none or cannot be read."""
    with suppress(NameError, TypeError):  # a missing annotation is allowed here: only a wrong one is a mistake
        return get_type_hints(fn, localns=dict(namespace)).get("return", Any)
    return Any


def accepts(declared: Any, given: Any) -> bool:
    """Return whether a parameter with the annotation `declared` takes a value of the type `given`.

    This is decided for plain classes and unions of them. Generic types are left to the type checker: the answer is yes.
    """
    declared, given = bare(declared), bare(given)
    if declared is Any or declared is object or given is Any or declared == given:
        return True
    if given is None or given is NoneType:
        return NoneType in _members(declared)
    wanted, offered = _members(declared), _members(given)
    if not all(isinstance(one, type) for one in (*wanted, *offered)):
        return NoneType in wanted or NoneType not in offered
    return all(any(_is_kind_of(one, other) for other in wanted) for one in offered)


def _is_kind_of(one: type, other: type) -> bool:
    try:
        return issubclass(one, other) or (one is int and other is float)
    except TypeError:  # a protocol, or a TypedDict
        return True


def _members(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, UnionType):
        return get_args(hint)
    return (NoneType,) if hint is None else (hint,)


def is_list(hint: Any) -> bool:
    """Return whether values of this type have items. A text has none; an unknown type is assumed to have some."""
    kinds = [get_origin(one) or one for one in _members(bare(hint))]
    return all(kind is Any or not isinstance(kind, type) or _has_items(kind) for kind in kinds)


def _has_items(kind: type) -> bool:
    return issubclass(kind, Iterable) and not issubclass(kind, str | bytes | Mapping)


def bare(hint: Any) -> Any:
    """Return a type without its constraints: `int` for `Annotated[int, Gt(0)]`, also within others."""
    if get_origin(hint) is Annotated:
        return bare(hint.__origin__)
    return hint if get_origin(hint) is Literal else with_arguments(hint, tuple(map(bare, get_args(hint))))


def with_arguments(hint: Any, new: tuple[Any, ...]) -> Any:
    """Return a type that is made of others, such as `list[int]`, with other arguments; itself if they are the same."""
    if all(one is other for one, other in zip(get_args(hint), new, strict=True)):
        return hint
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, new)
    origin: Any = get_origin(hint)
    return GenericAlias(origin, new) if isinstance(hint, GenericAlias) else hint.copy_with(new)


def show(hint: Any) -> str:
    """Return a type as a user would write it, without constraints."""
    hint = bare(hint)
    if hint is NoneType:
        return "None"
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def asked_results(fn: Callable[..., Any]) -> set[str]:
    """Return the names N in calls `ctx.result(Anything.N)` within a function; none if its source is not available.

    `ctx` is its last positional parameter, under any name.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, SyntaxError):
        return set()
    ctx = _positional(fn)[-1]
    return {
        call.args[0].attr
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == f"{ctx}.result"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Attribute)
    }
