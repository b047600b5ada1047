"""The names on the wire, all of them: no other module knows how namespace and shards become part of a name.

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
"""The channel of an inbound message, which says who may have sent it: NATS grants permissions by its subject."""

_HEADS: dict[Channel, str] = {"client": "sagain", "operator": "sagaop", "system": "sagasys", "reply": "sagareply"}
_CHANNELS: dict[str, Channel] = {head: channel for channel, head in _HEADS.items()}
_PARKED = "sagapark"
_START = "start"


class Address(NamedTuple):
    """The saga that an inbound subject leads to, and the channel: None for a parked message, which says it itself."""

    channel: Channel | None
    key: SagaKey


class CommandPlace(NamedTuple):
    """The place of commands in JetStream: the whole subject, and the stream, empty if the server is to find it."""

    subject: str
    stream: str


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
        """Return the shard of a `{saga_type}.{saga_id}` key, and of all events of its saga.

        The hash must never change: records would not be found any more.
        """
        return crc32(key.encode()) % self.shards if self.shards > 1 else 0

    def _thing(self, name: str) -> str:
        return f"{self.namespace}_{name}" if self.namespace else name

    def _sharded(self, name: str) -> tuple[str, ...]:
        name = self._thing(name)
        return (name,) if self.shards == 1 else tuple(f"{name}_{n}" for n in range(self.shards))

    def subject(self, subject: str) -> str:
        """Return `subject` under the namespace."""
        return f"{self.namespace}.{subject}" if self.namespace else subject

    @property
    def meta(self) -> str:
        """The bucket of the layout, and of plans and schemas."""
        return self._thing("SAGA_META")

    @property
    def state(self) -> tuple[str, ...]:
        """The buckets of the live sagas, one for each shard."""
        return self._sharded("SAGA_STATE")

    @property
    def archive(self) -> tuple[str, ...]:
        """The buckets of the finished sagas, one for each shard."""
        return self._sharded("SAGA_ARCHIVE")

    @property
    def workers(self) -> str:
        """The bucket of the leases."""
        return self._thing("SAGA_WORKERS")

    @property
    def jobs(self) -> str:
        """The bucket of the jobs: verbs for many sagas, with what has become of each."""
        return self._thing("SAGA_JOBS")

    @property
    def values(self) -> str:
        """The bucket of the large values, of which records have references only."""
        return self._thing("SAGA_VALUES")

    @property
    def events(self) -> tuple[str, ...]:
        """The streams of the events, one for each shard."""
        return self._sharded("SAGA_EVENTS")

    @property
    def inbox(self) -> str:
        """The work-queue stream of the inbound messages."""
        return self._thing("SAGA_INBOX")

    def event_subject(self, key: str, saga_type: str, suffix: str) -> str:
        """Return the subject of an event of the saga under `key`; `suffix` is `started`, `step.{step}` and so on.

        With several shards the number of the shard comes before the type, so that each stream has its own subjects.
        """
        if self.shards == 1:
            return self.subject(f"saga.{saga_type}.{suffix}")
        return self.subject(f"saga.{self.shard_of(key)}.{saga_type}.{suffix}")

    def event_filter(self, shard: int, saga_type: str | None) -> str:
        """Return the subjects of all events in the stream of `shard`, or of those of one type."""
        head = "saga" if self.shards == 1 else f"saga.{shard}"
        return self.subject(f"{head}.{saga_type or '*'}.>")

    def event_subjects(self, shard: int) -> list[str]:
        """Return the subjects that the event stream of `shard` captures.

        They are listed one by one: a stream that captured all of `saga.>` would answer foreign requests there.
        """
        head = self.subject("saga.*" if self.shards == 1 else f"saga.{shard}.*")
        plain = ("delayed", "started", "compensating", "completed", "failed", "stuck", "recovered", "migrated")
        return [f"{head}.{suffix}" for suffix in (*plain, "step.>", "signalled.*", "operator.*")]

    # ------------------------------------------------------------- inbound

    @property
    def inbox_subjects(self) -> list[str]:
        """The subjects that the inbox stream captures."""
        return [self.subject(f"{head}.>") for head in (*_HEADS.values(), _PARKED)]

    def inbound_subject(self, channel: Channel, key: SagaKey, *, service: str = "") -> str:
        """Return the subject of a message for one saga; a reply names the service that it comes from."""
        head = f"{_HEADS[channel]}.{service}" if channel == "reply" else _HEADS[channel]
        return self.subject(f"{head}.{key}")

    def inbound_filters(self, saga_type: str) -> list[str]:
        """Return the subjects of all messages for sagas of one type, without those that are parked."""
        return [
            self.subject(f"{_HEADS[channel]}.*.{saga_type}.*" if channel == "reply" else f"{head}.{saga_type}.*")
            for channel, head in _HEADS.items()
        ]

    def parked_subject(self, key: SagaKey, *, start: bool) -> str:
        """Return the subject of a message that has to wait: a start waits for room, any other message for an owner."""
        return self.subject(f"{_PARKED}.{key}.{_START}" if start else f"{_PARKED}.{key}")

    def parked_filter(self, saga_type: str, *, start: bool) -> str:
        """Return the subjects of all parked messages of one type."""
        return self.subject(f"{_PARKED}.{saga_type}.*.{_START}" if start else f"{_PARKED}.{saga_type}.*")

    def address_of(self, subject: str) -> Address:
        """Return the saga that a subject of the inbox leads to. Raises ValueError if it is not the address of one."""
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
    def commands(self) -> str:
        """The work-queue stream of the commands to participants."""
        return self._thing("SAGA_COMMANDS")

    def command_subject(self, endpoint: str) -> str:
        """Return the subject of the commands for `{service}.{endpoint}`."""
        return self.subject(f"sagacmd.{endpoint}")

    @property
    def intake(self) -> str:
        """The work-queue stream of the commands that start, signal and cancel sagas."""
        return self._thing("SAGA_INTAKE")

    def intake_subject(self, subject: str) -> str:
        """Return the subject in that stream of the commands on `subject`."""
        return self.subject(f"sagaintake.{subject}")

    def intake_place(self, subject: str, stream: str | None) -> CommandPlace:
        """Return where the commands on `subject` are, if their stream has this name; None is the runtime's own."""
        if stream is None:
            return CommandPlace(self.intake_subject(subject), self.intake)
        return CommandPlace(subject, stream)

    @property
    def dead(self) -> str:
        """The stream of the dead letters."""
        return self._thing("SAGA_DEAD")

    @property
    def dead_subjects(self) -> list[str]:
        """The subjects of the dead letters themselves. `dead_audit` has what was done with them."""
        return [self.subject(f"sagadead.{source}.*") for source in ("inbox", "intake", "command", "edited")]

    @property
    def dead_audit(self) -> str:
        """The subjects of what was done with dead letters: `sagadead.audit.{verb}`."""
        return self.subject("sagadead.audit.*")

    def dead_subject(self, source: str, name: str) -> str:
        """Return the subject of a dead letter, or of what was done with one; `name` is a type, a service or a verb."""
        return self.subject(f"sagadead.{source}.{name if is_name(name) else '_'}")

    def intake_consumer(self, name: str) -> str:
        """Return the name of a durable consumer of a command, whichever stream it is on."""
        return self._thing(name)

    @property
    def inbox_question(self) -> str:
        """The subject of the question which streams store inbound messages; no stream stores the question."""
        return self.subject("sagain.who.captures")

    def control_subject(self, worker_id: str) -> str:
        """Return the subject on which a worker answers requests."""
        return self.subject(f"sagactl.{worker_id}")

    def adopt_subject(self, saga_type: str) -> str:
        """Return the subject of the announcement that sagas of this type may be free to be adopted."""
        return self.subject(f"sagactl.adopt.{saga_type}")


def captures(pattern: str, subject: str) -> bool:
    """Return True if a subject fits a pattern of NATS: `*` is one token, `>` at the end is one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":  # cut both to the tokens before it; too few tokens fit nothing, also when `>` is all there is
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else []
    return len(wanted) == len(tokens) and all(one in ("*", token) for one, token in zip(wanted, tokens, strict=True))
