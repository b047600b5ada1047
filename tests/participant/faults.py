"""Faults of participants, which the clauses of the contract find: keys with a fault, and changes of what is heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio
from sagakit.participant import MemoryKeys
from sagakit.participant.conformance.exchange import Exchange, HeardReply
from sagakit.participant.key_store import GONE, DoWork, KeptReply, UndoWork

Heard = Callable[[Exchange], None]
"""Changes what was heard of a command."""


class NoDedup(MemoryKeys):
    """Keys that are done each time."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        if self._kept.get(key) != GONE:
            self._kept.pop(key, None)
        return await super().do(key, work)


class NoReservation(MemoryKeys):
    """Keys that nobody holds while the work under them is done."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        kept = self._kept.get(key)
        if kept is None:
            kept = await work(None)
            for _ in range(20):  # an undo comes meanwhile
                await trio.lowlevel.checkpoint()
            self._kept[key] = kept
        return kept

    async def burn(self, key: str, undo: UndoWork) -> None:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        await super().burn(key, undo)


class NoTombstone(MemoryKeys):
    """Keys that an undo burns only if something was done under them."""

    async def burn(self, key: str, undo: UndoWork) -> None:
        if key in self._kept:
            await super().burn(key, undo)


class NoBurning(MemoryKeys):
    """Keys that stay done when their work is undone."""

    async def burn(self, key: str, undo: UndoWork) -> None:
        if (kept := self._kept.get(key)) is None:
            await super().burn(key, undo)
        else:
            await undo(None, kept)


class Forgetful(MemoryKeys):
    """Keys that do not find what is kept, so that a check does not know."""

    is_atomic = False

    async def look(self, key: str) -> KeptReply | None:
        return None


class Nostalgic(MemoryKeys):
    """Keys that find what was done also after it was undone."""

    async def look(self, key: str) -> KeptReply | None:
        return KeptReply(answer="done", payload=msgspec.Raw(b'"r1"')) if await super().look(key) else None


def altered(reply: HeardReply, **changes: Any) -> HeardReply:
    fields = {**msgspec.json.decode(reply.payload), **changes}
    return HeardReply.of(msgspec.json.encode(fields), reply.message_id)


def fails(exchange: Exchange) -> None:
    exchange.replies = [altered(one, answer="unknown") for one in exchange.replies]


def only(fault: Heard, **facts: Any) -> Heard:
    """Return a fault of those commands alone of which these facts are true."""

    def heard(exchange: Exchange) -> None:
        if all(getattr(exchange.sent, name) == value for name, value in facts.items()):
            fault(exchange)

    return heard


def sees_a_copy() -> Heard:
    """Return a fault: a command that has come before is acknowledged without another word."""
    seen: set[bytes] = set()

    def heard(exchange: Exchange) -> None:
        if exchange.payload in seen:
            exchange.replies, exchange.answered_first = [], False
        seen.add(exchange.payload)

    return heard


def sees_an_older_attempt() -> Heard:
    """Return a fault: after a later attempt an earlier one is not worked."""
    seen: dict[str, int] = {}

    def heard(exchange: Exchange) -> None:
        key, attempt = exchange.command.key, exchange.command.attempt
        if attempt < seen.get(key, 0):
            fails(exchange)
        seen[key] = max(attempt, seen.get(key, 0))

    return heard


def has(**changes: Any) -> Heard:
    """Return a fault that changes facts about a command."""

    def heard(exchange: Exchange) -> None:
        for name, value in changes.items():
            setattr(exchange, name, value)

    return heard


def replies_once_more(exchange: Exchange) -> None:
    exchange.replies.extend([altered(one, reason="again") for one in exchange.replies])


def replies_with(**changes: Any) -> Heard:
    def heard(exchange: Exchange) -> None:
        exchange.replies = [altered(one, **changes) for one in exchange.replies]

    return heard
