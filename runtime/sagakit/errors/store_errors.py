"""The errors of the store: it is away, it refused, or it holds something unexpected under a key."""

from __future__ import annotations

from sagakit.errors.error_tree import SagakitError


class StoreError(SagakitError):
    """The store refused an operation, or did not answer. The subclass says whether a repetition can help."""


class Unavailable(StoreError):
    """The store is away: disconnected, without a leader, or nothing listens. The operation was not done.

    Nobody is at fault, and nothing was lost: repeat the call when the store is back. Running sagas wait by themselves
    (P12).
    """


class Ambiguous(StoreError):
    """An acknowledgment did not come in time: the operation may have happened, or not, and may still happen later.

    Read from the leader to find out. A repetition under the same id is safe: ids make starts and messages idempotent.
    """


class StoreFull(StoreError):
    """The server stores no more, or room is kept for the sagas that run. Nothing was written.

    The operator of the server has to act: raise `max_bytes` of the bucket or stream, or free space.
    """


class TooLarge(StoreError):
    """A message has more bytes than the server's `max_payload`. It was not sent.

    Keep large data elsewhere and pass a reference to it, or raise `max_payload`.
    """


class NoResponders(Unavailable):
    """A request has no listener: there is no such stream, the stream has no leader, or a worker is gone.

    Repeat the call in a moment. If that does not help, `sagakit doctor` says what is missing.
    """


class Refused(StoreError):
    """The server answered with an error that no other class covers. Nothing was written.

    The text has the server's words: the operator of the server has to act on them.
    """

    code: int
    """JetStream's `err_code`; 0 if the request was not sent or the answer had none."""
    description: str
    """JetStream's text."""

    def __init__(self, code: int, description: str, text: str = "") -> None:
        super().__init__(text or f"the server refused: {description} (err_code {code})")
        self.code = code
        self.description = description


class StreamMissing(Refused):
    """A bucket or stream that existed when the runtime was opened has been deleted since.

    The operator of the server has to act: restore it, or create it again without its content.
    """

    stream: str
    """The name of the stream; a bucket's stream is `KV_{bucket}`."""

    def __init__(self, code: int, description: str, stream: str) -> None:
        bucket = stream.removeprefix("KV_")
        what = f"stream {stream}" if bucket == stream else f"bucket {bucket}"
        super().__init__(
            code,
            description,
            f"the {what} is missing ({description}): restore it from a backup, or stop the workers and let "
            "`sagakit store rebuild` restore the sagas from their events, or create an empty one with `sagakit setup`; "
            "then find out who deleted it",
        )
        self.stream = stream


class NotPermitted(StoreError):
    """The server does not let this account publish or listen to a subject. Nothing was sent.

    The administrator of the accounts has to act: `sagakit permissions` lists the rights of each role.
    """

    subject: str
    """The subject that was refused."""
    publish: bool
    """True if it was to be published to, False if it was to be listened to."""

    def __init__(self, subject: str, *, publish: bool) -> None:
        verb = "publish" if publish else "subscribe"
        super().__init__(
            f"this account may not {verb} to {subject}: grant it what `sagakit permissions` lists for its role"
        )
        self.subject = subject
        self.publish = publish


class KvError(StoreError):
    """An operation on one key of a bucket failed."""

    key: str
    """The key: `{type}.{id}` of a saga, with the id encoded."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key


class Conflict(KvError):
    """A compare-and-set did not match: the key has another revision than the expected one. Nothing was written.

    Read the key again, then decide again.
    """

    expected: int
    """The revision that was expected; 0 for a key that must not exist."""

    def __init__(self, key: str, expected: int) -> None:
        super().__init__(key, f"its revision is not {expected}, as this write expects")
        self.expected = expected


class Fenced(KvError):
    """The record has another writer now, so that this one stops writing it (P7).

    Raised inside a worker, which drops its copy of the saga; the new owner continues it.
    """


class Deleted(KvError):
    """A saga's record was deleted with `nats kv del` or `nats kv purge`, and the delete marker blocks the id.

    Raised by `start`. `Runtime.delete` removes the marker; nothing of the old saga is undone.
    """

    def __init__(self, key: str, how: str) -> None:
        super().__init__(
            key,
            f"its record was deleted from outside, with {how}, and the delete marker blocks the id: call "
            "`Runtime.delete` to remove the marker; then the id can be started again",
        )


class Undecodable(KvError):
    """The value under a key is not a record that this version can read (P11). It was left alone.

    Raised by calls that read one record; lists name such keys. An operator has to look at the value.
    """

    found: str
    """A description of the value: its beginning, and why it is not a record."""

    def __init__(
        self, key: str, found: str, advice: str = "look at it with `nats kv get`, then mend or delete it"
    ) -> None:
        super().__init__(key, f"{found}: left alone; {advice}")
        self.found = found


class ValueLost(Undecodable):
    """A record names a large value that is not stored any more, or is not what was stored. The saga was left alone.

    Restore the bucket of the values from a backup: the saga goes on by itself then. Without one the saga cannot go on:
    remove its record.
    """

    def __init__(self, key: str, found: str) -> None:
        super().__init__(key, found, "restore the bucket SAGA_VALUES from a backup, and the saga goes on")


class NewerSchema(Undecodable):
    """The record was written by a newer sagakit, and was left alone: upgrade this worker."""


class Overwritten(KvError):
    """A program without the right to do so has replaced a saga's record by something else.

    Raised inside the worker that owns the saga; it logs this, and writes its own copy of the record back.
    """

    revision: int
    """The revision of the foreign value."""

    def __init__(self, key: str, found: str, revision: int) -> None:
        super().__init__(key, f"its record was replaced from outside at revision {revision}: {found}")
        self.revision = revision
