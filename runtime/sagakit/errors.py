"""Every error that sagakit raises, as one tree by whose fault it is.

    SagakitError
    ├── CallerError        the call is wrong: mend the arguments
    ├── DefinitionError    the `Saga` class is wrong: mend the class
    ├── SagaStuck          a saga waits for a person: mend the cause, then say how it goes on
    ├── SagaFailed         a saga turned back: its fields say why, and what was undone
    ├── NoWorker           a saga waits for a worker that can run it: start one, or write a migrate()
    ├── StoreError         the store refused or is away: wait, or mend the server
    │   └── KvError        the same, for one key of a bucket
    ├── ServerError        the server is not usable as it is: mend its settings or the URL
    └── InternalError      sagakit is wrong: please report it

Fields carry the facts, the text says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes that others may have written raises; RecursionError if they are nested too deeply."""


class SagakitError(Exception):
    """Root of the tree."""


# ---------------------------------------------------------------- caller


class CallerError(SagakitError):
    """The call's arguments are wrong; nothing was changed."""


class InvalidName(CallerError):
    """A saga type, step, signal or namespace is not `[A-Za-z][A-Za-z0-9_-]*` or is too long."""


class InvalidId(CallerError):
    """A saga id is not a text, is blank, or is too long once encoded."""


class InvalidInput(CallerError):
    """The input cannot be encoded as, or does not match, the saga's input type."""


class DoesNotFit(InvalidInput):
    """A value does not fit its declared type, or code of that type has raised: then that is the `__cause__`.

    `type` names the type, `reason` says what is wrong, `path` where in the value it is, as `$.lines[0].price`, if that
    is known.
    """

    _verb = "does not fit"

    def __init__(self, what: str, type: str, reason: str, path: str | None = None) -> None:
        super().__init__(f"{what} {self._verb} {type}: {reason}")
        self.type = type
        self.reason = reason
        self.path = path


class UnreadableValue(DoesNotFit):
    """JSON cannot be read as its declared type."""

    _verb = "cannot be read as"


class Unwritable(DoesNotFit):
    """A value cannot be kept as JSON of its declared type."""

    _verb = "cannot be kept as"


class InputTooLarge(CallerError):
    """The input exceeds the bound that keeps a record below the server's `max_payload`."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the input has {size:,} bytes, the limit is {limit:,}: keep large data elsewhere and pass a reference"
        )
        self.size = size
        self.limit = limit


class InvalidConfig(CallerError):
    """An option is unknown, has the wrong type, or is out of bounds."""


class UnknownSaga(CallerError):
    """No saga is stored under this type and id."""


class NotRegistered(CallerError):
    """The saga class is not among those this runtime was opened with."""


class AlreadyStarted(CallerError):
    """The id was started before with a different input (P10)."""


class NotAllowed(CallerError):
    """The saga's present state does not allow the request; the text says why."""


class RuntimeClosed(NotAllowed):
    """The runtime is closing: it starts nothing any more."""


class WrongContext(CallerError):
    """The call comes from where it cannot be made: under another event loop, from another thread, after a fork."""


class TooLate(NotAllowed):
    """A cancel came after the pivot (P5)."""


# ------------------------------------------------------------ definition


class DefinitionError(SagakitError):
    """A `Saga` class cannot work as written; raised when the class is created."""


class PlanChanged(DefinitionError):
    """A saga's steps have changed under the same version; raised when the runtime is opened."""


class SchemaChanged(DefinitionError):
    """Types of a saga have changed under the same version; raised when the runtime is opened.

    `parts` says what could not be read: by old code of what this class writes, or by this class of what old code wrote.
    """

    def __init__(self, text: str, parts: list[str]) -> None:
        super().__init__(text)
        self.parts = parts


class CannotMigrate(SagakitError):
    """A saga of an old version cannot become one of the new; it is left alone and reported."""


# ----------------------------------------------------------------- sagas


class SagaStuck(SagakitError):
    """A saga cannot go on by itself; it stays as it is until somebody helps.

    `key` names the saga, `reason` says what is in the way, `steps` the attempts of the steps that hold it, by name.
    """

    def __init__(self, key: str, reason: str, steps: Mapping[str, int]) -> None:
        at = ", ".join(f"{name} (attempt {attempt})" for name, attempt in steps.items())
        super().__init__(
            f"{key} is stuck{' at ' + at if at else ''}: {reason}. It stays as it is: mend the cause, then call "
            "`retry()`, `complete_step`, `mark_undone`, `compensate` or `terminate` of its handle (docs/operators.md)"
        )
        self.key = key
        self.reason = reason
        self.steps = steps


class SagaFailed(SagakitError):
    """A saga turned back, and `result` has no output to give. The fields are those of `Failed`.

    `key` names the saga. `cause` says why it turned back; `step`, `code`, `detail` and `reason` where and with which
    words; `compensated` names the steps that were undone.
    """

    def __init__(
        self,
        key: str,
        cause: str,
        *,
        step: str | None = None,
        code: str | None = None,
        detail: Mapping[str, Any] = MappingProxyType({}),
        reason: str | None = None,
        compensated: tuple[str, ...] = (),
    ) -> None:
        where = "" if step is None else f" at {step}"
        words = ": ".join(part for part in (code, reason) if part)
        after = f"; undone: {', '.join(compensated)}" if compensated else "; nothing had to be undone"
        super().__init__(f"{key} failed: {cause}{where}{words and f', {words}'}{after}")
        self.key = key
        self.cause = cause
        self.step = step
        self.code = code
        self.detail = detail
        self.reason = reason
        self.compensated = compensated


class NoWorker(SagakitError):
    """No live worker can run the saga: none has its type, its version or its plan. It stays as it is until one can.

    `key` names the saga, `version` is the one that it was started under, `versions` are those that the live workers
    have of its type.
    """

    def __init__(self, key: str, version: int, versions: tuple[int, ...], advice: str) -> None:
        there = f"the workers have version {', '.join(map(str, versions))}" if versions else "none has its type"
        super().__init__(
            f"{key} was started under version {version}, and no worker can run it: {there}. It stays as it is: {advice}"
        )
        self.key = key
        self.version = version
        self.versions = versions


# ----------------------------------------------------------------- store


class StoreError(SagakitError):
    """The store refused, or did not answer."""


class Unavailable(StoreError):
    """The store is away (disconnected, no leader, no responders): nothing was lost, try again when it is back (P12)."""


class Ambiguous(StoreError):
    """No acknowledgement came in time: the operation may or may not have happened."""


class StoreFull(StoreError):
    """The server refuses to store more: raise `max_bytes` of the bucket or stream, or free space."""


class TooLarge(StoreError):
    """One message exceeds the server's `max_payload`."""


class NoResponders(Unavailable):
    """Nobody listens at the subject; for a worker: its process is gone, or the connection is."""


class Refused(StoreError):
    """The server answered with an error that none of the others covers.

    `code` is JetStream's `err_code`, `description` its text.
    """

    def __init__(self, code: int, description: str, text: str = "") -> None:
        super().__init__(text or f"the server refused: {description} (err_code {code})")
        self.code = code
        self.description = description


class StreamMissing(Refused):
    """A bucket or a stream that was there when the runtime was opened is gone. `stream` names the stream."""

    def __init__(self, code: int, description: str, stream: str) -> None:
        bucket = stream.removeprefix("KV_")
        what = f"stream {stream}" if bucket == stream else f"bucket {bucket}"
        super().__init__(
            code,
            description,
            f"the {what} is missing ({description}): restore it from a backup, or make it anew with `sagakit setup`, "
            "without what it held; who has deleted it?",
        )
        self.stream = stream


class NotPermitted(StoreError):
    """The server refuses this account a subject; `publish` says whether it was to be published or listened to."""

    def __init__(self, subject: str, *, publish: bool) -> None:
        verb = "publish" if publish else "subscribe"
        super().__init__(
            f"this account may not {verb} to {subject}: grant it what `sagakit permissions` lists for its role"
        )
        self.subject = subject
        self.publish = publish


class KvError(StoreError):
    """An operation on one key failed. `key` names it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key


class Conflict(KvError):
    """The compare-and-set did not match: the key has another revision than the one expected."""

    def __init__(self, key: str, expected: int) -> None:
        super().__init__(key, f"its revision is not {expected}")
        self.expected = expected


class Fenced(KvError):
    """The record belongs to another writer now (P7); this one must stop writing."""


class Deleted(KvError):
    """The record was deleted from outside, with `nats kv del` or `purge`; what that left there blocks the id."""

    def __init__(self, key: str, how: str) -> None:
        super().__init__(
            key,
            f"its record was deleted from outside, with {how}, and what that left there blocks the id: "
            "`Runtime.delete` removes it, and the id may be started again",
        )


class Undecodable(KvError):
    """The value under the key is not a record that this version can read (P11); it was left alone.

    `found` says what stands there.
    """

    def __init__(
        self, key: str, found: str, advice: str = "look at it with `nats kv get`, then mend or delete it"
    ) -> None:
        super().__init__(key, f"{found}: left alone; {advice}")
        self.found = found


class NewerSchema(Undecodable):
    """The record was written by a newer sagakit; it was left alone."""


class Overwritten(KvError):
    """Something that is not a record of the saga has replaced its record. `revision` is that of what stands there."""

    def __init__(self, key: str, found: str, revision: int) -> None:
        super().__init__(key, f"something has replaced its record at revision {revision}: {found}")
        self.revision = revision


# ---------------------------------------------------------------- server


class ServerError(SagakitError):
    """The server cannot be used as it is."""


class CannotConnect(ServerError):
    """No server answers at the URL, or it refused the credentials; the text says which."""


class LoginRefused(CannotConnect):
    """A server answered, and refused the credentials."""


class LayoutMissing(ServerError):
    """Buckets or streams are not there, and this account may not make them. `missing` names the streams."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            f"not there, and this account may not make streams: {', '.join(missing)}; run `sagakit setup` once with an "
            "account that may"
        )
        self.missing = missing


class OtherDomain(ServerError):
    """Other streams store our messages, too: in another JetStream domain of the account. `streams` are all that do."""

    def __init__(self, subject: str, streams: list[str]) -> None:
        head = subject.removesuffix("sagain.who.captures")
        names = ("saga", "sagain", "sagaop", "sagareply", "sagasys", "sagapark", "sagadead", "sagactl")
        denied = ", ".join(f'"{head}{name}.>"' for name in names)
        super().__init__(
            f"streams of another JetStream domain (a hub's or a leaf node's) store what is sent to {head}sagain.>: "
            f"{', '.join(streams)} answered for it; every saga would run once in each domain. Give the sagas of this "
            "domain a namespace of their own (option `namespace`), or let the workers of all domains use the streams "
            "of one (option `domain`), or keep the domains apart: in the leaf node's configuration write "
            f"`deny_imports: [{denied}]` and the same under `deny_exports`"
        )
        self.subject = subject
        self.streams = streams


class ServerTooOld(ServerError):
    """JetStream API level 1 (nats-server 2.11) is needed."""


class PayloadTooSmall(ServerError):
    """The server's `max_payload` leaves no room for records. `found` and `least` in bytes."""

    def __init__(self, found: int, least: int) -> None:
        super().__init__(
            f"the server takes messages of {found:,} bytes at most; sagakit needs {least:,}: "
            "raise `max_payload` in the server's configuration (1 MB is its default)"
        )
        self.found = found
        self.least = least


class JetStreamOff(ServerError):
    """The server, or the account, has JetStream disabled."""


class BadBucket(ServerError):
    """A bucket or stream exists with settings under which the promises would not hold."""


class BadLayout(ServerError):
    """The bucket that says how the others are laid out says something else."""


# -------------------------------------------------------------- internal


class InternalError(SagakitError):
    """A bug in sagakit."""


class IllegalTransition(InternalError):
    """A move that the transition table does not have; nothing was changed."""
