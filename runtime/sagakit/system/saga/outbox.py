"""The outbox of one saga: hands each event of the durable record to the publisher once, and again if it was lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sagakit.engine import Published, Record, event_id
from sagakit.engine.carried import payload_of
from sagakit.engine.events import count_up_to
from sagakit.system.environment import Environment
from sagakit.system.io.publisher import PublishEvents
from sagakit.system.io.receipt import Receipt
from sagakit.system.io.unpublished import Unsent
from sagakit.system.saga.proposal import HEADERS


class Outbox:
    """Hands events in and waits for them. Belongs to one incarnation of a saga's actor.

    An event that is too large for the server with the value that it carries goes out without it. The events of an
    incarnation that is `in_doubt` about what was published go in no batch: they may be stored already.
    """

    __slots__ = ("_handed_in", "_in_doubt", "_key", "_last", "_most", "_publisher", "_receipt", "_subject_of", "_then")

    def __init__(self, environment: Environment, key: str, published: Published, *, in_doubt: bool) -> None:
        self._most = environment.store.max_payload - HEADERS
        self._subject_of = environment.store.names.event_subject
        self._publisher = environment.publisher
        self._key = key
        self._receipt = Receipt(confirmed=published.seq, at=published.at)
        self._handed_in = published.seq
        self._in_doubt = in_doubt
        """True while the next events that are handed in may be in the log already, from another life of the saga."""
        self._last = 0
        self._then: Callable[[], None] | None = None

    @property
    def confirmed(self) -> int:
        """The number of the last event that is in the log; 0 before the first."""
        return self._receipt.confirmed

    @property
    def published(self) -> Published:
        """The confirmation for the record: which events are in the log, and where, unless its outbox lacks them."""
        return Published(self._receipt.confirmed, tuple(self._receipt.at))

    @property
    def is_out(self) -> bool:
        """True if every event that was handed in is in the log."""
        return self._receipt.confirmed >= self._handed_in

    def publish(self, record: Record) -> None:
        """Hand in the events of a durable record that were not handed in yet."""
        outbox, receipt = record.outbox, self._receipt
        key, run = self._key, record.run
        new: list[Unsent] = []
        for event in outbox[count_up_to(outbox, self._handed_in) :]:
            subject = self._subject_of(key, record.saga_type, event.suffix)
            payload = payload_of(record, event, most=self._most)
            new.append(Unsent(key, subject, event_id(run, event.seq), payload, seq=event.seq, at=event.at))
        if len(receipt.at) > len(outbox):  # the record has those of the events that have left it
            del receipt.at[: len(receipt.at) - len(outbox)]
        if new:
            self._handed_in = new[-1].seq
            self._publisher.tell_nowait(PublishEvents(key, run, new, receipt, self._in_doubt))
            self._in_doubt = False

    def publish_again(self, record: Record) -> None:
        """Hand in again what the publisher, which was lost, has not confirmed."""
        if self._handed_in > self._receipt.confirmed:
            self._handed_in, self._in_doubt = self._receipt.confirmed, True
            # a new receipt: an acknowledgment that still comes to the old publisher must not count for the new one
            self._receipt = Receipt(confirmed=self._handed_in, at=self._receipt.at)
            self.publish(record)
            if self._then is not None:
                self._await_last()

    def when_confirmed(self, seq: int, then: Callable[[], None]) -> None:
        """Call `then` once, when event `seq` is in the log. Replaces an earlier request, except one of `when_out`."""
        if self._then is None:
            self._receipt.when_reached(seq, then)

    def when_idle(self, then: Callable[[], None]) -> None:
        """Call `then` once, when every event that was handed in is in the log. Otherwise as `when_confirmed`."""
        self.when_confirmed(self._handed_in, then)

    def when_out(self, record: Record, then: Callable[[], None]) -> None:
        """Call `then` once, when the last event of a terminal record is in the log; at once if it is.

        Events that the record does not contain any more are in the log, whichever worker has published them.
        """
        self._last, self._then = record.outbox[-1].seq if record.outbox else 0, then
        self._await_last()

    def _await_last(self) -> None:
        self._receipt.when_reached(self._last, partial(self._out, self._receipt))

    def _out(self, receipt: Receipt) -> None:
        if receipt is self._receipt and self._then is not None:  # else it belongs to a publisher that was lost
            then, self._then = self._then, None
            then()
