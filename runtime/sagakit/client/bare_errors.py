"""Errors of the body of an `async with`, as the body raised them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_errors() -> Iterator[None]:
    """Take a lone error out of the exception groups that nurseries put around it; several stay together."""
    try:
        yield
    except BaseExceptionGroup as group:  # raised again, whole or its one leaf
        only = _only_leaf(group)
        if only is None:
            raise
        context = only.__context__
        try:
            raise only
        finally:
            only.__context__ = context  # not the group: it says nothing more
            del only, context


def _only_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        if len(found.exceptions) != 1:
            return None
        found = found.exceptions[0]
    return found
