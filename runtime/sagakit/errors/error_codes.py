"""The codes of errors for callers of other languages: the exit code of a command, and the status of an HTTP answer.

The name of an error, such as `AlreadyStarted`, is its code in JSON: commands and the HTTP API share it.
"""

from __future__ import annotations

from typing import NamedTuple

from sagakit.errors.caller_errors import (
    AlreadyStarted,
    CallerError,
    InputTooLarge,
    InvalidConfig,
    InvalidInput,
    InvalidName,
    JobHeld,
    NotAllowed,
    RuntimeClosed,
    UnknownJob,
    UnknownLetter,
    UnknownSaga,
)
from sagakit.errors.definition_errors import DefinitionError
from sagakit.errors.error_tree import SagakitError
from sagakit.errors.saga_errors import NoWorker
from sagakit.errors.server_errors import (
    CannotConnect,
    LoginRefused,
    OtherDomain,
    PayloadTooSmall,
    ServerError,
)
from sagakit.errors.store_errors import Ambiguous, NotPermitted, StoreError, StoreFull, TooLarge, Unavailable

USAGE, DEFINITION, UNKNOWN, AWAY, CRASH, SERVER, NOT_PERMITTED, CONFIG = 2, 65, 66, 69, 70, 76, 77, 78
"""Exit codes, after sysexits.h."""


class ErrorCodes(NamedTuple):
    """The codes of some errors."""

    errors: tuple[type[SagakitError], ...]
    exit: int
    status: int


ERROR_CODES: tuple[ErrorCodes, ...] = (
    ErrorCodes((UnknownSaga,), UNKNOWN, 404),
    ErrorCodes((UnknownJob, UnknownLetter), USAGE, 404),
    ErrorCodes((RuntimeClosed,), USAGE, 503),
    ErrorCodes((AlreadyStarted, NotAllowed, JobHeld), USAGE, 409),
    ErrorCodes((InputTooLarge,), USAGE, 413),
    ErrorCodes((InvalidConfig, OtherDomain, PayloadTooSmall), CONFIG, 500),
    ErrorCodes((InvalidName,), CONFIG, 422),
    ErrorCodes((TooLarge,), CONFIG, 413),
    ErrorCodes((InvalidInput, CallerError), USAGE, 422),
    ErrorCodes((DefinitionError,), DEFINITION, 500),
    ErrorCodes((LoginRefused, NotPermitted), NOT_PERMITTED, 502),
    ErrorCodes((StoreFull,), AWAY, 507),
    ErrorCodes((CannotConnect, Unavailable), AWAY, 503),
    ErrorCodes((Ambiguous,), AWAY, 504),
    ErrorCodes((StoreError,), AWAY, 502),
    ErrorCodes((ServerError,), SERVER, 502),
    ErrorCodes((NoWorker,), CRASH, 503),
    ErrorCodes((SagakitError,), CRASH, 500),
)
"""The first row that fits counts: LoginRefused is also a CannotConnect."""


def codes_of(error: BaseException) -> ErrorCodes | None:
    """Return the codes of an error; None for one that sagakit does not raise on purpose."""
    return next((row for row in ERROR_CODES if isinstance(error, row.errors)), None)
