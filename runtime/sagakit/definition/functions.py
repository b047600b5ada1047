"""What is wrong with a function that a definition was given; None if nothing is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def fault_of_called(fn: Any) -> str | None:
    """For an action, a compensation or a check, which is called in a task or a thread, and awaited."""
    if isinstance(fn, staticmethod | classmethod) or not hasattr(inspect.unwrap(fn), "__code__"):
        return f"is {fn!r}, which is no function: write a method that calls it"
    if _generates(fn):
        return "is a generator function, whose body would not run when it is called: remove the yield"
    return None


def fault_of_asked(fn: Any, *given: str, may_yield: bool = False) -> str | None:
    """For a function without effects, which is called in place with these arguments."""
    if not callable(fn):
        return f"is {fn!r}, which is no function of {', '.join(given)}"
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__):
        return "is a coroutine function, and nobody awaits it: make it a plain function, without effects"
    if _generates(fn) and not may_yield:
        return "is a generator function, and nobody reads what it yields: return the answer"
    return _fault_of_parameters(fn, given)


def _fault_of_parameters(fn: Callable[..., Any], given: tuple[str, ...]) -> str | None:
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some builtins have none
        return None
    try:
        signature.bind(*given)
    except TypeError:
        return f"is called with ({', '.join(given)}), but takes {signature}"
    return None


def _generates(fn: object) -> bool:
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
