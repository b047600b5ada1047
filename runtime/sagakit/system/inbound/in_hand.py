"""The messages that a worker has taken from the inbox and is not done with."""

from __future__ import annotations

from itertools import cycle

import trio

from sagakit.store.names import SagaKey
from sagakit.store.ports import ACK_WAIT, Acknowledger, InboundMessage

MOST, MOST_BYTES = 10_000, 8 * 2**20
"""Number of messages, and bytes of their payloads, from which on no more are taken until some are done with. Those that
wait to be buried do not count."""
MOST_DEAD, MOST_DEAD_BYTES = 8_000, 8 * 2**20
"""Number of messages that wait to be buried, and bytes of their payloads, from which on further ones are given back."""
BURST = 500
"""Number of deadlines that are extended without a turn for others."""


class InHand:
    """The messages in hand, by their positions in the inbox. For tasks of one trio thread.

    The server does not hand out again the messages in hand, since their deadlines are extended. Messages that only
    wait to be parked or buried are extended half as often: a second copy of one does no harm, but costs more than that.
    """

    def __init__(self) -> None:
        self._messages: dict[int, InboundMessage] = {}
        self._extended: dict[int, InboundMessage] = {}
        """Messages that are worked on, whose deadlines are extended in each round."""
        self._starts: dict[SagaKey, tuple[set[int], trio.Event]] = {}
        """Starts that are worked on, by saga: their positions, and the event that is set when one of them is done."""
        self._dead: set[int] = set()
        """The positions of those that wait to be buried."""
        self._bytes = self._dead_bytes = 0
        """Bytes of the payloads of all messages that do not wait to be buried, and of those that do."""
        self._less = trio.Event()
        """Set when a message is done with."""
        self._any = trio.Event()
        """Set while there may be messages to extend."""

    def __len__(self) -> int:
        return len(self._messages)

    def take(self, message: InboundMessage) -> bool:
        """Take a message to work on it; return False if it is in hand already."""
        if message.position in self._messages:
            return False
        self._messages[message.position] = self._extended[message.position] = message
        self._bytes += len(message.payload)
        self._any.set()
        return True

    def works_on_start(self, message: InboundMessage) -> None:
        """Note that a message that was taken is a start: messages to its saga may wait for it."""
        positions, _ = self._starts.setdefault(message.address, (set(), trio.Event()))
        positions.add(message.position)

    def has_start(self, saga: SagaKey) -> bool:
        """Return True if a start of the saga is worked on."""
        return saga in self._starts

    async def until_started(self, saga: SagaKey) -> bool:
        """Wait until a start of the saga is done with, and return True. Return False at once if none is in hand."""
        if not self.has_start(saga):
            return False
        await self._starts[saga][1].wait()
        return True

    def set_aside(self, message: InboundMessage) -> None:
        """Stop working on a message: from now on it waits to be parked or buried."""
        if self._extended.pop(message.position, None) is None:
            return
        positions, done = self._starts.get(message.address, (set(), None))
        if done is not None and message.position in positions:
            positions.discard(message.position)
            done.set()
            if positions:
                self._starts[message.address] = positions, trio.Event()
            else:
                del self._starts[message.address]

    def condemn(self, message: InboundMessage) -> bool:
        """Stop working on a message that is to be buried. Return False if too many wait for that: give it back.

        Burials go to a stream of their own, which may be slower than the inbox. They must not hold up what comes in.
        """
        self.set_aside(message)
        if message.position in self._dead:
            return True
        if len(self._dead) >= MOST_DEAD or self._dead_bytes >= MOST_DEAD_BYTES:
            return False
        self._dead.add(message.position)
        self._bytes -= len(message.payload)
        self._dead_bytes += len(message.payload)
        self._less.set()
        return True

    def let_go(self, message: InboundMessage) -> Acknowledger:
        """Be done with a message. Return the object by which to acknowledge it or give it back."""
        self.set_aside(message)
        if self._messages.pop(message.position, None) is None:
            return message.acknowledger
        if message.position in self._dead:
            self._dead.discard(message.position)
            self._dead_bytes -= len(message.payload)
        else:
            self._bytes -= len(message.payload)
            self._less.set()
        return message.acknowledger

    async def room(self) -> None:
        """Wait until more messages may be taken."""
        while len(self._messages) - len(self._dead) >= MOST or self._bytes >= MOST_BYTES:
            if self._less.is_set():  # else others wait for it already
                self._less = trio.Event()
            await self._less.wait()

    async def extend(self) -> None:
        """Keep the messages in hand from being handed out again, until cancelled."""
        for due in cycle((self._extended, self._messages)):
            await self._any.wait()
            await trio.sleep(ACK_WAIT / 3)
            for count, message in enumerate(list(due.values())):
                if count % BURST == BURST - 1:
                    await trio.lowlevel.checkpoint()
                if message.position in due:
                    message.acknowledger.extend()
            if not self._messages:
                self._any = trio.Event()

    def give_back(self) -> None:
        """Give all messages back, so that another worker gets them at once."""
        for message in self._messages.values():
            message.acknowledger.defer(0)
