"""The permissions that an account of NATS needs for commands, besides those of the role `worker`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from sagakit.messages.commands import Command
from sagakit.store.names import Names
from sagakit.store.permissions import Grant, Permissions


def with_commands(permissions: Permissions, commands: Sequence[Command], names: Names) -> Permissions:
    """Return the permissions of a worker that takes these commands, too."""
    return msgspec.structs.replace(permissions, publish=(*permissions.publish, *command_grants(commands, names)))


def command_grants(commands: Sequence[Command], names: Names) -> Iterator[Grant]:
    """Yield what is needed for the consumers of these commands: for no other consumer of their streams.

    A command that does not name its stream needs its consumer on whichever stream stores the subject.
    """
    places = [names.intake_place(command.subject, command.stream) for command in commands]
    if any(not place.stream for place in places):
        yield Grant("$JS.API.STREAM.NAMES", "find the streams of its commands")
    for command, place in zip(commands, places, strict=True):
        consumer = f"{place.stream or '*'}.{names.intake_consumer(command.name)}"
        told = f"commands of {place.subject}"
        yield Grant(f"$JS.API.CONSUMER.INFO.{consumer}", f"check the consumer of {told}")
        yield Grant(f"$JS.API.CONSUMER.CREATE.{consumer}", f"create the consumer of {told}")
        yield Grant(f"$JS.API.CONSUMER.MSG.NEXT.{consumer}", f"take {told}")
        yield Grant(f"$JS.ACK.{consumer}.>", f"acknowledge {told}")
