"""The errors of a wrong call: the caller is at fault, and nothing was changed."""

from __future__ import annotations

from sagakit.errors.error_tree import SagakitError


class CallerError(SagakitError):
    """A call has wrong arguments, or comes at a wrong time or from a wrong place; nothing was changed.

    The text says which argument, and what to write instead. Repeating the same call does not help.
    """


class InvalidName(CallerError):
    """A saga type, step, signal or namespace does not match `[A-Za-z][A-Za-z0-9_-]*`, or is too long.

    Raised when a class is created or a runtime is opened. Names become parts of NATS subjects.
    """


class InvalidId(CallerError):
    """A saga id is not a text, is blank, or is too long once encoded for a key.

    Raised by `start`, and by every call that takes an id.
    """


class InvalidInput(CallerError):
    """A value cannot be encoded as its declared type, or does not match it: a saga's input, a signal, a filter.

    Raised by the call that takes the value, before anything is sent.
    """


class InvalidFilter(InvalidInput):
    """A filter cannot be read. The text shows the column, and says what may be written there."""

    def __init__(self, text: str, column: int, problem: str) -> None:
        self.text: str = text
        self.column: int = column
        """Column of the first character that does not fit; the first column is 1."""
        self.problem: str = problem
        super().__init__(f"column {column}: {problem}\n  {text}\n  {' ' * (column - 1)}^")


class DoesNotFit(InvalidInput):
    """A value does not fit its declared type, or code of that type raised; in that case its error is the `__cause__`.

    The base of the next two; raised as one of them.
    """

    type: str
    """The name of the declared type."""
    reason: str
    """The mismatch in words, or the error that code of the type raised."""
    path: str | None
    """The place in the value, as in `$.lines[0].price`; None if it is not known."""

    _verb = "does not fit"

    def __init__(self, what: str, type: str, reason: str, path: str | None = None) -> None:
        super().__init__(f"{what} {self._verb} {type}: {reason}")
        self.type = type
        self.reason = reason
        self.path = path


class UnreadableValue(DoesNotFit):
    """JSON cannot be read as its declared type: the type has changed, or other code has written the value.

    Raised where a program asks for a kept value, such as an output. Read the raw value from the record with
    `describe()`, or give the type a form that reads both.
    """

    _verb = "cannot be read as"


class Unwritable(DoesNotFit):
    """A value cannot be kept as JSON of its declared type: it has another type, or a part that JSON does not have.

    Raised by the call that takes the value, or for a step that returns it. Correct the value, or the declared type.
    """

    _verb = "cannot be kept as"


class InputTooLarge(CallerError):
    """A saga's input has more bytes than a record has room for under the server's `max_payload`.

    Raised by `start`. Keep large data elsewhere, and pass a reference to it, or set `claim_above` in all workers and
    clients: larger values are then stored beside the record.
    """

    size: int
    """Bytes of the encoded input."""
    limit: int
    """Bytes that an input may have."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the input has {size:,} bytes, the limit is {limit:,}: keep large data elsewhere and pass a reference, or "
            "set claim_above in all workers and clients"
        )
        self.size = size
        self.limit = limit


class InvalidConfig(CallerError):
    """An option is unknown, has the wrong type, is out of bounds, or contradicts another one.

    Raised when a runtime is opened, from an argument, a variable or a file; the text says which.
    """


class UnknownSaga(CallerError):
    """The store has no saga of this type and id: it was never started, or its retention is over.

    Raised by calls that read or change a saga. A start of that id is possible.
    """


class UnknownJob(CallerError):
    """No job has this id, or not all of its lists are there any more.

    Raised when a job is resumed. Jobs are kept for 30 days.
    """


class UnknownLetter(CallerError):
    """There is no dead letter with this number: it was resent, edited or deleted, or its time is over.

    Raised by `Client.dead_letters`. Dead letters are kept for 30 days.
    """


class JobHeld(CallerError):
    """Somebody else runs the job now. The text says who, and where.

    Raised when a job is resumed, and where a run loses its job because it was silent for too long.
    """


class NotRegistered(CallerError):
    """The saga class is not among those that this runtime was opened with: add it to `sagas=[...]`.

    Raised by `start` and by the calls that take a class.
    """


class AlreadyStarted(CallerError):
    """The id was started before with another input (P10). The saga that exists is not affected.

    Raised by `start`. Use another id, or the same input to get a handle of the saga that exists. Inputs that are sealed
    cannot be compared by a program without their payload codec or key: the text then says so.
    """


class NotAllowed(CallerError):
    """The present state of the saga, or of the runtime, does not allow the request; the text says why.

    Raised by a handle's verbs, `delete` and `start`. Look at the saga with `describe()` and choose another verb.
    """


class RuntimeClosed(NotAllowed):
    """The runtime is closing or closed: it starts nothing, and answers nothing, any more.

    Raised by each call that is made too late, and by calls that wait while the runtime closes. Sagas are not affected.
    """


class WrongContext(CallerError):
    """The call comes from a place where it cannot work: another event loop, another thread, or a forked process.

    The text names the function to use there.
    """


class TooLate(NotAllowed):
    """A cancel came after the pivot: from there on the saga only goes forward (P5).

    Raised by `cancel`. If the saga becomes stuck, `compensate` still undoes what can be undone.
    """
