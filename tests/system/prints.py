"""A saga whose participant must show life, and its begin."""

from __future__ import annotations

from datetime import timedelta

from sagakit import RetryPolicy, Saga, remote
from sagakit.messages.step_command import StepCommand
from sagakit.store.memory_server import MemoryServer

from tests.system.commands_taken import beat, taken
from tests.system.members import Member, until_taken

HOUR = 3_600.0
WAITS = 1e9
"""Seconds of `passivate_after` in tests whose saga is to keep its actor."""


class Print(Saga[int]):
    """A saga whose participant has an hour, and must show life every 30 seconds."""

    book = remote(
        "press.print", int, send=lambda pages, ctx: pages, compensate="press.pulp",
        heartbeat_timeout=timedelta(seconds=30), timeout=timedelta(seconds=HOUR),
        retry=RetryPolicy(max_attempts=3, initial_interval=timedelta(seconds=1)),
    )  # fmt: skip


async def begun(running: Member, server: MemoryServer, saga: type[Saga[int]] = Print) -> StepCommand:
    """Start a saga, and return its command; the participant has shown life once."""
    await running.runtime.start(saga, "1", 7)
    command = await taken(server, "press.print")
    assert command.heartbeat == 30.0
    beat(server, command)
    await until_taken(server)
    return command
