"""Options whose values are taken as they are.

typer converts each value by pydantic, defaults included. Importing pydantic takes a fifth of the time of a short
command, so a value that has the type of its option already goes past it. All others are converted by typer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any


def take_plain(params: Sequence[Any]) -> Sequence[Any]:
    """Have the parameters of a typer command pass on each value that needs no conversion. Return the parameters."""
    for param in params:
        if "process_value" not in vars(param):
            # the attribute of the instance is called in place of the method
            param.process_value = partial(_processed, param, param.process_value)
    return params


def _processed(param: Any, convert: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    """Return the value of a parameter, as its callback leaves it."""
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)  # an older typer has none
    if value is None and not param.required:
        plain: Any = () if param.multiple or param.nargs == -1 else None
    elif type(value) is kind:
        plain = value
    elif kind == list[str] and value and all(isinstance(word, str) for word in value):
        plain = list(value)
    elif isinstance(kind, type) and issubclass(kind, StrEnum) and value in list(kind):
        plain = kind(value)
    else:
        return convert(ctx, value)
    return plain if param.callback is None else param.callback(ctx, param, plain)
