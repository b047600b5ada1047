"""The publisher actor: publishes each saga's events in order, each one after or with the one before.

An event that the store refuses holds up only the events of its own saga. An event that is published twice has the same
id and the same bytes (P9).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from logging import WARNING, getLogger

import msgspec
import trio
from msgspec import structs
from sagakit_actors import Actor, ActorContext, Backoff, Down

from sagakit.errors import Ambiguous, StoreError, Unavailable
from sagakit.ration import Ration
from sagakit.store.ports import Store
from sagakit.system.io.receipt import Receipt
from sagakit.system.io.unpublished import Unpublished, Unsent

_log = getLogger("sagakit.publisher")

BATCH = 512
"""Number of messages that are taken from the mailbox at once, at most."""
LONG = 10
"""Number of failed tries of one event, in about half a minute, after which an outage is reported."""


class PublishEvents(msgspec.Struct, frozen=True):
    """Publish these events in order. Those that are queued already, or in the log, are skipped.

    Those that are `alone` share no atomic batch with events of others: they may be in the log, unknown to the sender.
    """

    key: str
    run: str
    events: Sequence[Unsent]
    receipt: Receipt
    alone: bool = False


class _Queue(msgspec.Struct):
    """The events of one run that are not in the log yet. The first one has been sent, maybe with others behind it."""

    of: PublishEvents
    """The message that came last: it names the saga, and has the receipt that is read."""
    last: int
    """The number of the last event that is queued or in the log."""
    events: deque[Unsent]
    failures: int = 0
    alone_to: int = 0
    """The number of the last event that goes alone; 0 if none does."""
    together: int = 1
    """The number of events that the next result is about."""

    def add(self, message: PublishEvents) -> None:
        # the actor may be a later incarnation, which hands in the same events with a receipt that it reads itself
        self.of = message
        for event in message.events:
            if event.seq > self.last:
                self.events.append(event)
                self.last = event.seq
        if message.alone:
            self.alone_to = self.last

    def behind(self) -> Iterable[Unsent]:
        """Return the events behind the first one; none if that goes alone by now."""
        return () if self.events[0].seq <= self.alone_to else islice(self.events, 1, None)

    def go_together(self, count: int) -> None:
        """Note how many events the next result is about."""
        self.together = count

    def go_alone(self, count: int) -> None:
        """Note that the first events go alone from now on: one of them may be at fault, or still arrive."""
        self.alone_to = max(self.alone_to, self.events[count - 1].seq)


class Publisher(Actor[PublishEvents]):
    """Publishes all events of one worker."""

    tasks = True

    def __init__(self, store: Store, unpublished: Unpublished) -> None:
        self._store = store
        self._submit = store.events.submit  # bound once: it is called for each event
        self._queues: dict[str, _Queue] = {}
        unpublished.queues = self._queues
        self._pause = Backoff(initial_interval=0.05, max_interval=10.0)
        self._ration = Ration(_log, lines=1, now=trio.current_time)
        self._nursery: trio.Nursery | None = None

    async def run(self, ctx: ActorContext[PublishEvents]) -> None:
        """Queue the events that come in, until stopped.

        After a crash the saga actors, which watch this one, hand in again what was not confirmed.
        """
        self._nursery = ctx.nursery
        try:
            while True:
                await self._store.until_room()
                for message in await ctx.receive_batch(BATCH):
                    if not isinstance(message, Down):
                        self._queue(message)
        finally:
            self._nursery = None

    def _queue(self, message: PublishEvents) -> None:
        queue = self._queues.get(message.run)
        if queue is None:
            queue = self._queues[message.run] = _Queue(message, message.receipt.confirmed, deque())
        idle = not queue.events
        queue.add(message)
        if idle and queue.events:
            self._send_head(queue)

    def _send_head(self, queue: _Queue) -> None:
        event = queue.events[0]
        if event.seq <= queue.alone_to:
            event = structs.replace(event, alone=True)
        self._submit(event, partial(self._sent, queue), queue)

    def _sent(self, queue: _Queue, result: int | StoreError) -> None:
        if self._nursery is None:
            return  # this incarnation has ended; its events were handed in again to the next one
        count, queue.together = queue.together, 1
        if isinstance(result, StoreError):
            queue.go_alone(count)
            self._nursery.start_soon(self._again, queue, result)
            return
        queue.failures = 0
        for sequence in range(result, result + count):
            queue.of.receipt.confirm(queue.events.popleft().seq, sequence)
        # the next one is sent only now: singly, a lost first one would come after the second (P9)
        if queue.events:
            self._send_head(queue)
        else:
            del self._queues[queue.of.run]

    async def _again(self, queue: _Queue, error: StoreError) -> None:
        queue.failures += 1
        if not isinstance(error, Unavailable | Ambiguous) or queue.failures % LONG == 0:
            text, kind = "%s: event %d not published yet: %s", type(error).__name__
            self._ration.say(WARNING, text, queue.of.key, queue.events[0].seq, error, kind=kind)
        await trio.sleep(self._pause.delay(queue.failures))
        await self._store.until_connected()
        self._send_head(queue)
