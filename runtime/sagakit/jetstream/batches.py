"""Atomic batches on the wire: the messages of one, what its answer means, and the streams that take them.

See `sagakit.store.gathering` for what goes into a batch, and ADR-50 of NATS for the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec

from sagakit.errors import Ambiguous, StoreError
from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.link import Link
from sagakit.jetstream.server_check import BATCHES
from sagakit.store.gathering import BatchDone, BatchRefused, Carrier, Gathering, Pause, T

FOR_GOOD = frozenset({10174, 10177, 10199})
"""Errors that every further batch would meet, too: not allowed, a header that it may not have, too many messages."""
REFUSED = FOR_GOOD | {10071, 10164, 10176, 10201, 10210}
"""Errors of a batch that has written nothing: besides those for good, a wrong last sequence (two codes), incomplete
or one too many, a message id that is known, too many under way. Any other error may have come in the middle of the
commit, so that every message of the batch is ambiguous."""
_MEMBER = b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n\r\n"
_COMMIT = b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\nNats-Batch-Commit: 1\r\n\r\n"
_END = 2
"""Bytes of the empty line that ends a block of headers."""


class BatchAck(msgspec.Struct, frozen=True):
    """The answer to the last message of a batch."""

    seq: int = 0
    batch: str = ""
    count: int = 0
    error: ApiError | None = None


_ack = msgspec.json.Decoder(BatchAck)


class Batches:
    """The batches of one connection. For tasks of the trio thread."""

    def __init__(self, link: Link, streams: frozenset[str]) -> None:
        self._link = link
        self._streams = streams
        self._prefix = uuid4().hex
        self._numbers = count(1)
        self.pause: Pause = Pause()

    def gathering(self, stream: str, carrier: Carrier[T]) -> Gathering[T] | None:
        """Return the gathering of the writes to a stream; None if each write is sent alone."""
        return Gathering(carrier, self.pause) if stream in self._streams else None

    def send(self, messages: Sequence[tuple[str, bytes, bytes]], done: BatchDone) -> None:
        """Queue a batch of messages (subject, headers, payload), without blocking; only the last one wants an answer.

        If a message in the middle does not leave, for its size or its age, the server finds a gap and writes nothing.
        If the last one does not leave, the server forgets the others after ten seconds.
        """
        send = self._link.pump.send
        name = f"{self._prefix}-{next(self._numbers)}"
        id, last = name.encode(), len(messages)
        for place, (subject, headers, payload) in enumerate(messages[:-1], 1):
            send(subject, payload, None, headers[:-_END] + _MEMBER % (id, place), linger=True)
        subject, headers, payload = messages[-1]
        take = partial(_take, name, last, done)
        send(subject, payload, take, headers[:-_END] + _COMMIT % (id, last))


def _take(name: str, size: int, done: BatchDone, answer: bytes | StoreError) -> None:
    done(outcome(name, size, answer) if isinstance(answer, bytes) else answer)


def outcome(name: str, size: int, answer: bytes) -> Sequence[int] | BatchRefused | StoreError:
    """Return the sequence of each message of a batch, or what became of the batch."""
    ack = _ack.decode(answer) if answer else BatchAck()
    if ack.error is not None:
        text = f"{ack.error.description} (err_code {ack.error.err_code})"
        if ack.error.err_code in REFUSED:
            return BatchRefused(text, for_good=ack.error.err_code in FOR_GOOD)
        return Ambiguous(f"its batch ended in an error: {text}")
    if (ack.batch, ack.count) != (name, size):  # a server that knows no batches has stored the messages one by one
        return Ambiguous("its batch was answered like a single message")
    return range(ack.seq - size + 1, ack.seq + 1)


def batches_on(link: Link, configs: Mapping[str, Mapping[str, Any]]) -> Batches:
    """Return the batches of a connection, for those of the streams that take them and have one copy.

    With three copies the servers' log already shares an fsync between messages, and batches gain nothing.
    """
    able = [name for name, config in configs.items() if config.get(BATCHES) and config.get("num_replicas", 1) == 1]
    return Batches(link, frozenset(able))
