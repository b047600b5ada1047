"""The intake of commands: puts each command into the inbox as a message, and acknowledges it once that is durable.

From there it is a message like any other: a worker with room applies it, another version reads it, a message to a saga
that is not stored yet waits for it, and what can never be applied is a dead letter. A command that is no message at all
is a dead letter at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from logging import ERROR, WARNING, getLogger
from typing import TypeAlias

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.definition.payloads import Payloads
from sagakit.errors import CallerError, NotAllowed, StoreError, TooLarge
from sagakit.jetstream.command_stream import CommandStreams, TakenCommand
from sagakit.jetstream.pull import Consumer
from sagakit.messages.commands import Command, Translated, read_command, translated
from sagakit.messages.sealing import sealed_request
from sagakit.ration import Ration
from sagakit.store.ports import Store
from sagakit.system.inbound.requests import Requests
from sagakit.system.io.persistence import through_outage

_log = getLogger("sagakit.commands")

AT_ONCE = 64
"""Number of commands of one kind that are put into the inbox at the same time."""
AGAIN = 5.0
"""Seconds until a command comes again that the inbox has not taken."""

CommandBacklog: TypeAlias = dict[tuple[str, str], int]
"""Commands that are not acknowledged yet, of all workers together, by the type of the sagas and the consumer's name."""


class CommandIntake(Actor[None]):
    """Takes the commands that this worker knows, each from the consumer that was prepared for it.

    Every `interval` seconds it writes into `backlog` how many wait.
    """

    tasks = True

    def __init__(
        self,
        store: Store,
        streams: CommandStreams,
        commands: Sequence[tuple[Command, Consumer]],
        backlog: CommandBacklog,
        requests: Requests,
        payloads: Payloads,
        *,
        worker_id: str,
        archive_ttl: float,
        interval: float,
        buried: Callable[[str], None],
    ) -> None:
        self._store = store
        self._streams = streams
        self._commands = commands
        self._backlog = backlog
        self._requests = requests
        self._payloads = payloads
        self._worker_id = worker_id
        self._archive_ttl = archive_ttl
        self._interval = interval
        self._buried = buried
        self._ration = Ration(_log)

    async def started(self, ctx: ActorContext[None]) -> None:
        """Take commands from now on. One that is in hand at a stop comes again, and is applied once."""
        for command, consumer in self._commands:
            ctx.nursery.start_soon(self._take, command, consumer)
        ctx.nursery.start_soon(self._count)

    async def _count(self) -> None:
        while True:
            for command, consumer in self._commands:
                with suppress(StoreError):  # the number of a moment ago is better than none
                    self._backlog[command.saga_type, consumer.name] = await self._streams.waiting(consumer)
            await trio.sleep(self._interval)

    async def _take(self, command: Command, consumer: Consumer) -> None:
        places = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery, self._streams.receive(consumer) as taken:
            async for one in taken:
                await places.acquire()
                nursery.start_soon(self._handle, command, one, places)

    async def _handle(self, command: Command, taken: TakenCommand, places: trio.Semaphore) -> None:
        try:
            message = self._read(command, taken)
            request = sealed_request(self._payloads, message.address, message.request)
            await self._requests.send(message.address, message.id, request)
            taken.acknowledger.ack()
        except (CallerError, TooLarge, ValueError) as error:  # ValueError: text that is no Unicode
            await self._bury(command, taken, error)
        except StoreError as error:
            self._ration.say(WARNING, "%s: a command waits: %s", taken.subject, error)
            taken.acknowledger.defer(AGAIN)
        finally:
            places.release()

    def _read(self, command: Command, taken: TakenCommand) -> Translated:
        position = f"{taken.stream}-{taken.position}"
        prefix = f"{taken.subject}/" if command.stream is None else ""
        came = read_command(taken.subject, taken.fields, taken.payload, position=position, prefix=prefix)
        message = translated(command, came)
        if self._store.clock.now() - taken.since > self._archive_ttl:
            raise NotAllowed(
                f"the command is older than archive_ttl, {self._archive_ttl:g} s: whether its saga has ended and begun "
                "anew meanwhile is not known any more"
            )
        return message

    async def _bury(self, command: Command, taken: TakenCommand, error: Exception) -> None:
        reason, code = str(error), type(error).__name__
        id = taken.fields.get("Nats-Msg-Id", f"{taken.stream}-{taken.position}")
        bury = partial(self._streams.bury, taken, command.saga_type, id, reason, code=code, by=self._worker_id)
        try:
            await through_outage(self._store, bury)
        except StoreError as refused:
            self._ration.say(ERROR, "%s: a command cannot be kept as a dead letter: %s", taken.subject, refused)
            taken.acknowledger.defer(AGAIN)
            return
        self._buried(command.saga_type)
        self._ration.say(ERROR, "%s: command %s is a dead letter: %s", taken.subject, id, reason)
