"""Names on the wire, all of them: namespace and shards live here and nowhere else.

See docs/architecture.md, "The wire".
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from sagakit.errors import InvalidName
from sagakit.naming import MAX_ENCODED_ID as MAX_ENCODED_ID
from sagakit.naming import SagaKey as SagaKey
from sagakit.naming import check_name, is_name
from sagakit.naming import decode_id as decode_id
from sagakit.naming import encode_id as encode_id

Channel: TypeAlias = Literal["client", "operator", "system", "reply"]
"""Who may have sent an inbound message: its subject says so, and NATS permissions are granted by subject."""

_HEADS: dict[Channel, str] = {"client": "sagain", "operator": "sagaop", "system": "sagasys", "reply": "sagareply"}
_CHANNELS: dict[str, Channel] = {head: channel for channel, head in _HEADS.items()}
_PARKED = "sagapark"
_START = "start"


class Address(NamedTuple):
    """Where an inbound subject leads: to one saga, over one channel. A parked message says its channel itself."""

    channel: Channel | None
    key: SagaKey


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

    # ------------------------------------------------------------- inbound

    @property
    def inbox_subjects(self) -> list[str]:
        """Return what the inbox stream captures."""
        return [self.subject(f"{head}.>") for head in (*_HEADS.values(), _PARKED)]

    def inbound_subject(self, channel: Channel, key: SagaKey, *, service: str = "") -> str:
        """Return where a message for one saga is published; a reply names the service that it comes from."""
        head = f"{_HEADS[channel]}.{service}" if channel == "reply" else _HEADS[channel]
        return self.subject(f"{head}.{key}")

    def inbound_filters(self, saga_type: str) -> list[str]:
        """Return the subjects of all messages for sagas of one type, those that wait in the inbox apart."""
        return [
            self.subject(f"{_HEADS[channel]}.*.{saga_type}.*" if channel == "reply" else f"{head}.{saga_type}.*")
            for channel, head in _HEADS.items()
        ]

    def parked_subject(self, key: SagaKey, *, start: bool) -> str:
        """Return where a message waits that cannot be applied yet: a start for room, any other for an owner."""
        return self.subject(f"{_PARKED}.{key}.{_START}" if start else f"{_PARKED}.{key}")

    def parked_filter(self, saga_type: str, *, start: bool) -> str:
        """Return the subjects of all messages of one type that wait."""
        return self.subject(f"{_PARKED}.{saga_type}.*.{_START}" if start else f"{_PARKED}.{saga_type}.*")

    def address_of(self, subject: str) -> Address:
        """Return where a subject of the inbox leads. Raises ValueError for one that leads to no saga."""
        head, *rest = subject.removeprefix(f"{self.namespace}." if self.namespace else "").split(".")
        channel = _CHANNELS.get(head)
        if channel == "reply":
            rest = rest[1:]
        elif head == _PARKED and len(rest) == 3 and rest[2] == _START:
            rest = rest[:2]
        if (channel is None and head != _PARKED) or len(rest) != 2 or not is_name(rest[0]):
            raise ValueError(f"the subject {subject[:100]!r} is not the address of a saga")
        return Address(channel, SagaKey(rest[0], decode_id(rest[1])))

    @property
    def dead(self) -> str:
        """Stream of the dead letters."""
        return self._thing("SAGA_DEAD")

    def dead_subject(self, source: str, name: str) -> str:
        """Return where a message is kept that can never be applied; `name` is a type or a service."""
        return self.subject(f"sagadead.{source}.{name if is_name(name) else '_'}")

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
