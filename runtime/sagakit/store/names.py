"""Names on the wire (DESIGN 6), all of them: id encoding, namespace and shards live here and nowhere else."""

from __future__ import annotations

import re
from zlib import crc32

import msgspec

from sagakit.errors import InvalidId, InvalidName
from sagakit.naming import check_name

MAX_ENCODED_ID = 512

_PLAIN = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def encode_id(saga_id: str) -> str:
    """Encode any string, reversibly, as one token: letters, digits, `_` and `-` stay, each other UTF-8 byte is `=XX`.

    The empty string is a lone `=`. Raises InvalidId when the result exceeds MAX_ENCODED_ID characters, or when the id
    is no Unicode text (lone surrogates).
    """
    if len(saga_id) <= MAX_ENCODED_ID and _PLAIN(saga_id):
        return saga_id
    try:
        raw = saga_id.encode()
    except UnicodeEncodeError as error:
        raise InvalidId(f"the saga id {saga_id[:40]!r} is no Unicode text: {error.reason}") from None
    token = "".join(chr(b) if b in _SAFE else f"={b:02X}" for b in raw) or "="
    if len(token) > MAX_ENCODED_ID:
        raise InvalidId(
            f"the saga id {saga_id[:40]!r}... has {len(token)} characters once encoded, the limit is {MAX_ENCODED_ID}: "
            "use a shorter id"
        )
    return token


def decode_id(token: str) -> str:
    """The inverse of `encode_id`. Raises ValueError on a token that no id encodes to."""
    if token == "=":
        return ""
    if re.fullmatch(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+", token) is None:
        raise ValueError(f"{token!r} is not an encoded saga id")
    raw = re.sub(rb"=([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), token.encode())
    return raw.decode()


class SagaKey(msgspec.Struct, frozen=True):
    """Address of one saga: its type and id. `str()` gives the KV key."""

    saga_type: str
    saga_id: str

    def __str__(self) -> str:
        return f"{self.saga_type}.{encode_id(self.saga_id)}"

    @classmethod
    def parse(cls, key: str) -> SagaKey:
        """The inverse of `str()`. Raises ValueError on a key that sagakit did not write."""
        saga_type, _, token = key.partition(".")
        return cls(saga_type, decode_id(token))


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Bucket, stream and subject names under a namespace and a number of shards."""

    namespace: str = ""
    shards: int = 1

    def __post_init__(self) -> None:
        if self.namespace:
            check_name(self.namespace, what="the namespace")
        if not 1 <= self.shards <= 256:
            raise InvalidName(f"shards={self.shards} must be between 1 and 256")

    def shard_of(self, key: str) -> int:
        """Which shard a `{saga_type}.{saga_id}` key, and with it all its events, belongs to."""
        return crc32(key.encode()) % self.shards if self.shards > 1 else 0

    def _thing(self, name: str) -> str:
        return f"{self.namespace}_{name}" if self.namespace else name

    def _sharded(self, name: str) -> tuple[str, ...]:
        name = self._thing(name)
        return (name,) if self.shards == 1 else tuple(f"{name}_{n}" for n in range(self.shards))

    def subject(self, subject: str) -> str:
        """`subject` under the namespace."""
        return f"{self.namespace}.{subject}" if self.namespace else subject

    @property
    def meta(self) -> str:
        """Bucket of the schema, the shard count and the plans."""
        return self._thing("SAGA_META")

    @property
    def state(self) -> tuple[str, ...]:
        """Buckets of the live sagas, one a shard."""
        return self._sharded("SAGA_STATE")

    @property
    def archive(self) -> tuple[str, ...]:
        """Buckets of the finished sagas, one a shard."""
        return self._sharded("SAGA_ARCHIVE")

    @property
    def workers(self) -> str:
        """Bucket of the leases."""
        return self._thing("SAGA_WORKERS")

    @property
    def events(self) -> tuple[str, ...]:
        """Streams of the events, one a shard."""
        return self._sharded("SAGA_EVENTS")

    @property
    def inbox(self) -> str:
        """Work-queue stream of the inbound messages."""
        return self._thing("SAGA_INBOX")

    def event_subject(self, key: str, saga_type: str, suffix: str) -> str:
        """Where an event of the saga under `key` is published; `suffix` is `started`, `step.{step}` and so on.

        With several shards the shard's number stands before the type, so that each stream has subjects of its own.
        """
        if self.shards == 1:
            return self.subject(f"saga.{saga_type}.{suffix}")
        return self.subject(f"saga.{self.shard_of(key)}.{saga_type}.{suffix}")

    def event_subjects(self, shard: int) -> list[str]:
        """The subjects that the event stream of `shard` captures, listed so that it never answers a foreign request."""
        head = self.subject("saga.*" if self.shards == 1 else f"saga.{shard}.*")
        plain = ("started", "compensating", "completed", "failed", "stuck", "recovered", "migrated")
        return [f"{head}.{suffix}" for suffix in (*plain, "step.>", "signalled.*", "operator.*")]

    def inbox_subject(self, key: SagaKey) -> str:
        """Where an inbound message for one saga is published."""
        return self.subject(f"sagain.{key}")

    @property
    def inbox_question(self) -> str:
        """Where it is asked which streams store inbound messages; none stores the question."""
        return self.subject("sagain.who.captures")

    def control_subject(self, worker_id: str) -> str:
        """Where a worker answers requests."""
        return self.subject(f"sagactl.{worker_id}")

    def adopt_subject(self, saga_type: str) -> str:
        """Where it is said that sagas of this type may be there to be adopted."""
        return self.subject(f"sagactl.adopt.{saga_type}")


def captures(pattern: str, subject: str) -> bool:
    """Whether a subject fits a pattern of NATS: `*` is one token, `>` at the end one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else []
    return len(wanted) == len(tokens) and all(one in ("*", token) for one, token in zip(wanted, tokens, strict=True))
