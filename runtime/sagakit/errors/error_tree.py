"""The root of the tree of errors, and the errors that are bugs of sagakit itself."""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of decoding bytes that another process may have written; RecursionError if they nest too deeply."""


ERRORS_PAGE = "docs/errors.md"
"""The page of the documentation with the cause and the cure of each error."""


class SagakitError(Exception):
    """The root of the tree: every error that sagakit raises on purpose.

    `except SagakitError` around a call of a runtime or a handle leaves out only errors of Python and of user code.
    """

    @property
    def docs_page(self) -> str:
        """The place in the documentation with the cause and the cure: `docs/errors.md#storefull`."""
        return f"{ERRORS_PAGE}#{type(self).__name__.lower()}"


class InternalError(SagakitError):
    """sagakit contradicts itself. Nobody but sagakit is at fault: please report it with its traceback."""


class IllegalTransition(InternalError):
    """The engine was asked for a move that its tables do not have. Nothing was changed.

    Raised by `sagakit.engine.apply`, before anything is written. A saga's actor that meets it is restarted from the
    stored record; if that repeats, the saga is stuck with this error as its reason.
    """
