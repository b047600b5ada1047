"""What is wrong with a function that a definition was given; None if nothing is."""

from __future__ import annotations

import inspect


def fault_of_called(fn: object) -> str | None:
    """For an action, a compensation or a check, which is called or awaited."""
    if isinstance(fn, staticmethod | classmethod) or not hasattr(inspect.unwrap(fn), "__code__"):  # type: ignore[arg-type]
        return f"is {fn!r}, which is no function: write a method that calls it"
    if _generates(fn):
        return "is a generator function, whose body would not run when it is called: remove the yield"
    return None


def _generates(fn: object) -> bool:
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
