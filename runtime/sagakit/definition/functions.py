"""The checks of functions that a definition was given. Each returns the fault in words, or None."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial, partialmethod
from typing import Any

from sagakit.definition.nodes import Node


def fault_of_called(fn: Any) -> str | None:
    """Return the fault of an action, a compensation or a check, which is called in a task or a thread, and awaited."""
    if isinstance(fn, staticmethod | classmethod):
        return f"is called with the saga as self: remove @{type(fn).__name__}"
    if not hasattr(inspect.unwrap(fn), "__code__"):
        return f"is {fn!r}, which is not a function: write a method that calls it"
    if _generates(fn):
        return "is a generator function, whose body would not run when it is called: remove the yield"
    if any(hasattr(one, "cache_info") for one in _layers(fn)) and _is_coroutine_function(fn):
        return "is a coroutine function whose answer is cached, and a coroutine is awaited once: remove the cache"
    return None


def fault_of_asked(fn: Any, *given: str, may_yield: bool = False) -> str | None:
    """Return the fault of a function without effects, which is called in place with the arguments `given`."""
    if not callable(fn) or isinstance(fn, Node):
        return f"is {fn!r}, which is not a function of {', '.join(given)}"
    if _is_coroutine_function(fn):
        return "is a coroutine function, and nobody awaits it: make it a plain function, without effects"
    if inspect.isasyncgenfunction(fn) or (inspect.isgeneratorfunction(fn) and not may_yield):
        return "is a generator function, and nobody reads what it yields: return the answer"
    return _fault_of_parameters(fn, given)


def _fault_of_parameters(fn: Callable[..., Any], given: tuple[str, ...]) -> str | None:
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some builtins have no signature
        return None
    try:
        signature.bind(*given)
    except TypeError:
        return f"is called with ({', '.join(given)}), but takes {signature}"
    return None


def _is_coroutine_function(fn: Any) -> bool:
    """Return whether it is a coroutine function, also behind wrappers that say what they wrap."""
    return any(inspect.iscoroutinefunction(one) for one in (*_layers(fn), *_layers(type(fn).__call__)))


def _layers(fn: Any) -> Iterator[Any]:
    """Yield the function and the functions that it wraps, as `functools` and bound methods name them."""
    for _ in range(100):  # a wrapper may be made to wrap itself
        yield fn
        if isinstance(fn, partial | partialmethod):
            fn = fn.func
        elif hasattr(fn, "__wrapped__") or inspect.ismethod(fn):
            fn = getattr(fn, "__wrapped__", None) or fn.__func__
        else:
            return


def _generates(fn: object) -> bool:
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
