"""Dead letters: messages that can never be applied, kept with their reasons and reported in the log."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from logging import DEBUG, ERROR, INFO, getLogger
from typing import NamedTuple

import trio

from sagakit.errors import Ambiguous, InvalidInput, NotRegistered, StoreError, StreamMissing, Unavailable
from sagakit.ration import Ration
from sagakit.store.ports import UNKNOWN_TYPE_FOR, Burial, InboundMessage, Store

_log = getLogger("sagakit.intake")

REPORTED = 1_000
"""Number of types without a worker that are reported, at most."""


class Dead(NamedTuple):
    """A message that can never be applied, with the error that says why."""

    message: InboundMessage
    error: Exception


class DeadLetters:
    """Keeps dead letters, and looks for stray messages. For tasks of the worker's trio thread.

    `buried` is called with the type of each dead letter that is kept. After each look `saw_dead_commands` is called
    with how many letters of participants are kept, by service.
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        *,
        interval: float,
        buried: Callable[[str], None],
        saw_dead_commands: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._interval = interval
        self._buried = buried
        self._saw_dead_commands = saw_dead_commands
        self._reported: set[str] = set()
        self._told = Ration(_log)

    async def bury(self, group: Sequence[Dead]) -> Sequence[StoreError | None]:
        """Keep messages as dead letters and acknowledge them. Return the error of each that is not kept, else None.

        An error that is Unavailable or Ambiguous is not reported: the message can be buried again.
        """
        burials = [Burial(message, str(error), type(error).__name__) for message, error in group]
        refusals = await self._store.inbox.bury(burials, by=self._worker_id)
        for (message, reason, _), refused in zip(burials, refusals, strict=True):
            if refused is None:
                self._buried(message.saga_type)
                self._told.say(ERROR, "%s: message %s is a dead letter: %s", *_name(message), reason)
            elif not isinstance(refused, Unavailable | Ambiguous):
                text = "%s: message %s cannot be applied, nor kept as a dead letter: %s"
                self._told.say(ERROR, text, *_name(message), refused, kind="refused")
        return refusals

    async def mind_strays(self) -> None:
        """Look about every `interval` seconds for messages that name no saga, or a type that no worker has known."""
        while True:
            try:
                async with aclosing(self._store.inbox.strays()) as strays:
                    async for message in strays:
                        await self._mind_stray(message)
                self._saw_dead_commands(await self._store.inbox.dead_commands())
            except StoreError as error:
                level = DEBUG if isinstance(error, StreamMissing) else INFO  # the link reports a missing stream itself
                _log.log(level, "the inbox was not searched for stray messages: %s", error)
            await trio.sleep(self._interval * (0.5 + random.random()))

    async def _mind_stray(self, message: InboundMessage) -> None:
        if message.fault:
            await self.bury([Dead(message, InvalidInput(message.fault))])
        elif self._store.inbox.age(message) > UNKNOWN_TYPE_FOR:
            error = NotRegistered(f"no worker has ever known the saga type {message.saga_type}")
            await self.bury([Dead(message, error)])
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
