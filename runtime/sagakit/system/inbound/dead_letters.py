"""Dead letters: messages that can never be applied, kept with their reasons and reported in the log."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from logging import DEBUG, ERROR, INFO, getLogger

import trio

from sagakit.errors import InvalidInput, NotRegistered, StoreError, StreamMissing
from sagakit.ration import Ration
from sagakit.store.ports import UNKNOWN_TYPE_FOR, InboundMessage, Store
from sagakit.system.io.persistence import through_outage

_log = getLogger("sagakit.intake")

REPORTED = 1_000
"""Number of types without a worker that are reported, at most."""


class DeadLetters:
    """Keeps dead letters, and looks for stray messages. For tasks of the worker's trio thread.

    `buried` is called with the type of each dead letter that is kept.
    """

    def __init__(self, store: Store, worker_id: str, *, interval: float, buried: Callable[[str], None]) -> None:
        self._store = store
        self._worker_id = worker_id
        self._interval = interval
        self._buried = buried
        self._reported: set[str] = set()
        self._told = Ration(_log)

    async def bury(self, message: InboundMessage, error: Exception) -> bool:
        """Keep a message as a dead letter, with the error, and acknowledge it. Return False if the store refuses.

        Waits in an outage.
        """
        reason, code = str(error), type(error).__name__
        bury = partial(self._store.inbox.bury, message, reason, code=code, by=self._worker_id)
        try:
            await through_outage(self._store, bury)
        except StoreError as refused:
            _log.error("%s: message %s cannot be applied, nor kept as a dead letter: %s", *_name(message), refused)
            return False
        self._buried(message.saga_type)
        self._told.say(ERROR, "%s: message %s is a dead letter: %s", *_name(message), reason)
        return True

    async def mind_strays(self) -> None:
        """Look about every `interval` seconds for messages that name no saga, or a type that no worker has known."""
        while True:
            try:
                async with aclosing(self._store.inbox.strays()) as strays:
                    async for message in strays:
                        await self._mind_stray(message)
            except StoreError as error:
                level = DEBUG if isinstance(error, StreamMissing) else INFO  # the link reports a missing stream itself
                _log.log(level, "the inbox was not searched for stray messages: %s", error)
            await trio.sleep(self._interval * (0.5 + random.random()))

    async def _mind_stray(self, message: InboundMessage) -> None:
        if message.fault:
            await self.bury(message, InvalidInput(message.fault))
        elif self._store.inbox.age(message) > UNKNOWN_TYPE_FOR:
            await self.bury(message, NotRegistered(f"no worker has ever known the saga type {message.saga_type}"))
        elif message.saga_type not in self._reported and len(self._reported) < REPORTED:
            self._reported.add(message.saga_type)
            _log.warning(
                "messages wait for the saga type %s, which no worker has ever known: start a worker that has it "
                "within %g s of their arrival; later they become dead letters",
                message.saga_type,
                UNKNOWN_TYPE_FOR,
            )


def _name(message: InboundMessage) -> tuple[str, str]:
    """Return a message's subject and id, cut to a length that suits a log line."""
    return message.subject[:200], message.id[:100]
