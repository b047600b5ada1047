"""Errors of the body of an `async with`, without the exception groups that nurseries add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_errors() -> Iterator[None]:
    """Raise an error that is alone in its exception groups without them. Several errors stay in their group."""
    try:
        yield
    except BaseExceptionGroup as group:  # always raised again, as a whole or as its only leaf
        only = _only_leaf(group)
        if only is None:
            raise
        context = only.__context__
        try:
            raise only
        finally:
            only.__context__ = context  # `raise` sets the group as the context: it would print the same error twice
            del only, context


def _only_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        if len(found.exceptions) != 1:
            return None
        found = found.exceptions[0]
    return found
