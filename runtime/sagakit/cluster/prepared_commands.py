"""The commands of a worker, checked before it opens: each has a stream, a saga that is here, and a consumer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sagakit.binding.registry import Registry
from sagakit.errors import InvalidConfig
from sagakit.jetstream.command_stream import CommandStreams
from sagakit.jetstream.pull import Consumer
from sagakit.jetstream.store import JetStreamStore
from sagakit.messages.commands import Command
from sagakit.store.ports import Store
from sagakit.system.inbound.command_intake import CommandBacklog


class PreparedCommands(NamedTuple):
    """The streams of commands, each command with its consumer, and how many of each wait."""

    streams: CommandStreams
    consumers: Sequence[tuple[Command, Consumer]]
    backlog: CommandBacklog


async def prepared_commands(
    store: Store, registry: Registry, commands: Sequence[Command], *, adopts: bool
) -> PreparedCommands | None:
    """Return the commands with their consumers, which are made if they are missing; None if there are no commands.

    Raises InvalidConfig, BadBucket if a consumer exists and differs, LayoutMissing, StoreError.
    """
    for command in commands:
        if not isinstance(command, Command):
            raise InvalidConfig(
                f"commands=: {command!r} is not a Command: write Command(subject, saga, id=..., start=...)"
            )
        if command.saga_type not in registry.types:
            raise InvalidConfig(f"Command({command.subject!r}): add {command.saga_type} to sagas=[...]")
    if not commands:
        return None
    names = [command.name for command in commands]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidConfig(f"commands=: two commands share the consumer {twice}: a subject starts a type once")
    if not adopts:
        raise InvalidConfig("commands= with adopt=False: a runtime that is no worker takes no commands")
    if not isinstance(store, JetStreamStore):
        raise InvalidConfig("commands= needs a NATS server: a store in memory has no streams of commands")
    streams = store.command_streams
    prepared = [
        (command, await streams.prepare(place, command.name, begin=command.begin))
        for command in commands
        for place in [store.names.intake_place(command.subject, command.stream)]
    ]
    return PreparedCommands(streams, prepared, {})
