"""Exceptions of user code: which ones concern the whole program, and their texts.

The `repr` and the `str` of an exception are user code, too, and may raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from sagakit.errors import CannotMigrate, DoesNotFit

MAX_TEXT = 500
"""Highest number of characters that are kept of an error or a reason: a record must fit into a message."""

_INTERRUPTS = (KeyboardInterrupt, GeneratorExit)
"""Exceptions that concern the whole program. Any other one ends the call only: sys.exit() and another loop's
cancellation, too."""

_PLAIN = (msgspec.DecodeError, DoesNotFit, CannotMigrate)
"""Errors whose text says enough without their type."""


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception, or one in a group, concerns the whole program."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_INTERRUPTS)[0] is not None
    return isinstance(error, _INTERRUPTS)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the single exceptions in a group. An exception that is not a group is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves_of(one)
    else:
        yield error


def told(value: object) -> str:
    """Return the `repr` of a value, as a record can hold it; the name of its type if `repr` raises."""
    return _safe(repr, value)


def mistake(error: BaseException) -> str:
    """Return an exception of a function called in place, in words. Raise it if it concerns the whole program."""
    if is_interrupt(error):
        raise error
    return plain(error) if isinstance(error, _PLAIN) else told(error)


def plain(error: BaseException) -> str:
    """Return the text of an error without its type, as a record can hold it."""
    return _safe(str, error)


def utf8(text: str) -> str:
    """Return the text as UTF-8 can hold it: lone surrogates are escaped."""
    return text.encode(errors="backslashreplace").decode()


def shorten(text: str, most: int = MAX_TEXT) -> str:
    """Return at most `most` characters of `text`."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _safe(show: Callable[[object], str], value: object) -> str:
    try:
        return shorten(utf8(show(value)))
    except BaseException as error:  # of the user's own class
        if is_interrupt(error):
            raise
        return type(value).__name__
