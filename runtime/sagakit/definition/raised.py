"""What a user's code has raised: whether it concerns the whole program, and how it is told.

Nothing that an exception says of itself is trusted: its `repr` and its `str` are a user's code, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from sagakit.errors import CannotMigrate, DoesNotFit

MAX_TEXT = 500
"""Characters of an error or a reason that are kept: a record must never outgrow its message."""

_INTERRUPTS = (KeyboardInterrupt, GeneratorExit)
"""All else that a user's code raises ends what it was called for: sys.exit(), another loop's cancellation."""

_PLAIN = (msgspec.DecodeError, DoesNotFit, CannotMigrate)
"""Errors whose text says enough without their type."""


def is_interrupt(error: BaseException) -> bool:
    """Whether it concerns the whole program."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_INTERRUPTS)[0] is not None
    return isinstance(error, _INTERRUPTS)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield what a group is made of; what is no group is one leaf."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves_of(one)
    else:
        yield error


def told(value: object) -> str:
    """The `repr` of a value, as a record can hold it; the name of its type where that raises."""
    return _safe(repr, value)


def mistake(error: BaseException) -> str:
    """What code that cannot wait has raised, in words. Raises it again if it concerns the whole program."""
    if is_interrupt(error):
        raise error
    return plain(error) if isinstance(error, _PLAIN) else told(error)


def plain(error: BaseException) -> str:
    """The text of an error, without its type, as a record can hold it."""
    return _safe(str, error)


def utf8(text: str) -> str:
    """The text as UTF-8 can carry it: half characters are escaped."""
    return text.encode(errors="backslashreplace").decode()


def shorten(text: str, most: int = MAX_TEXT) -> str:
    """At most so many characters of `text`."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _safe(show: Callable[[object], str], value: object) -> str:
    try:
        return shorten(utf8(show(value)))
    except BaseException as error:  # of the user's own class
        if is_interrupt(error):
            raise
        return type(value).__name__
