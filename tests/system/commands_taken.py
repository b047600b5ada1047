"""A participant by hand: takes commands out of a store in memory, and puts replies and heartbeats into its inbox."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import trio
from sagakit.messages.step_command import StepCommand
from sagakit.store.memory_server import MemoryServer, Queued

_numbers = count(1)


async def taken(server: MemoryServer, endpoint: str) -> StepCommand:
    """Take the next command, which is for this endpoint."""
    while not server.commands:
        await server.commands_changed.park()
    queued = server.commands.pop(0)
    assert queued.endpoint == endpoint
    return msgspec.json.decode(queued.payload, type=StepCommand)


def reply(server: MemoryServer, command: StepCommand, answer: str, **more: Any) -> None:
    """Put a reply into the inbox, as a participant does."""
    _put(server, command, f"{command.key}/{command.attempt}/{answer}", {"kind": "reply", "answer": answer} | more)


def beat(server: MemoryServer, command: StepCommand, **more: Any) -> None:
    """Put a heartbeat into the inbox, as a participant does; `more` replaces fields of it."""
    _put(server, command, f"seq-{next(_numbers)}", {"kind": "heartbeat"} | more)


def _put(server: MemoryServer, command: StepCommand, id: str, said: dict[str, Any]) -> None:
    about = {"key": command.key, "run": command.run, "attempt": command.attempt}
    server.inbox_position += 1
    _, _, saga_type, saga_id = command.reply_to.split(".")
    queued = Queued(
        id, saga_type, saga_id, msgspec.json.encode(about | said), server.inbox_position, channel="reply",
        since=trio.current_time(),
    )  # fmt: skip
    server.inbox.append(queued)
    server.inbox_changed.unpark_all()
