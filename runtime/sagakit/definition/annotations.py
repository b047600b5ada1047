"""What a user's function says of its types."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from sagakit.errors import DefinitionError


class NotKnownYet(NameError):
    """A type is named that is not there: it may be defined further down, or for type checkers only."""

    def __init__(self, where: str, error: NameError, mend: str = "") -> None:
        mend = mend or (
            "define it, or import it not only under `if TYPE_CHECKING`; one that is defined in a function must stand "
            "above the class"
        )
        super().__init__(f"{where}: {error.name or error} is not known at run time: {mend}")


class Signature(NamedTuple):
    """Parameters after `self`, by name and type, and the result's type."""

    parameters: list[tuple[str, Any]]
    returns: Any


def signature_of(fn: Callable[..., Any], namespace: Mapping[str, Any], *, where: str) -> Signature:
    """Read a function's annotations. Raises DefinitionError, and NotKnownYet for a type that cannot be found."""
    names = _positional(fn)
    for one in inspect.signature(fn).parameters.values():
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty:
            raise DefinitionError(
                f"{where}: takes {one.name} by keyword, but is called by position: move it before the *"
            )
    try:
        hints = get_type_hints(fn, localns=dict(namespace))
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
    """What a function says that it returns; Any where it does not, or cannot be asked."""
    with suppress(NameError, TypeError):  # it is asked for a mistake in what it says, not for saying it
        return get_type_hints(fn, localns=dict(namespace)).get("return", Any)
    return Any


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
    """Whether what is declared so has items, one after another; also where it cannot be told. A text is no list."""
    kinds = [get_origin(one) or one for one in _members(hint)]
    return all(kind is Any or not isinstance(kind, type) or _has_items(kind) for kind in kinds)


def _has_items(kind: type) -> bool:
    return issubclass(kind, Iterable) and not issubclass(kind, str | bytes | Mapping)


def show(hint: Any) -> str:
    """A type as it would be written."""
    if hint is NoneType:
        return "None"
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def asked_results(fn: Callable[..., Any]) -> set[str]:
    """The names N in calls of the form `ctx.result(Anything.N)` within a function, as far as its source is there.

    `ctx` is its last positional parameter, whatever its name.
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
