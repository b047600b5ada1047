"""Errors of the body of an `async with`, without the exception groups that nurseries add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagakit.errors import SagakitError


@contextmanager
def bare_errors() -> Iterator[None]:
    """Raise an error that is alone in its exception groups without them. Several errors stay in their group.

    If all of them are sagakit's, such as two subjects that the server refuses, the first one is raised, and the others
    are its notes: a caller catches one class.
    """
    try:
        yield
    except BaseExceptionGroup as group:  # always raised again, as a whole or as one of its leaves
        only = _the_error(group)
        if only is None:
            raise
        context = only.__context__
        try:
            raise only
        finally:
            only.__context__ = context  # `raise` sets the group as the context: it would print the same error twice
            del only, context


def _the_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    first, *others = _leaves(group)
    if not others:
        return first
    if not all(isinstance(error, SagakitError) for error in (first, *others)):
        return None
    for error in others:
        first.add_note(f"and {type(error).__name__}: {error}")
    return first


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]
