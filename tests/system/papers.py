"""A saga with large values, for tests of claims, and a look at what the store has of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

import msgspec
from sagakit import Context, Reject, RetryPolicy, Saga, each, step
from sagakit.engine import Loaded, decode
from sagakit.engine.value_claims import claims_in
from sagakit.errors import ValueLost
from sagakit.store.claimed_values import keys_of
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

ABOVE = 2_000
LARGE = 3_000_000
"""Bytes of a value that no message could hold."""
RETRY = RetryPolicy(max_attempts=3, initial_interval=timedelta(milliseconds=10))


class Paper(msgspec.Struct, frozen=True):
    """A text, the number of its pages, and how the work on it ends."""

    text: str
    pages: int = 2
    refused: bool = False


class Print(Saga[Paper, str]):
    """Set the text, print its pages, and bind them: each result is about as large as the text."""

    undone: ClassVar[list[int]] = []

    @step(retry=RETRY)
    async def typeset(self, paper: Paper, ctx: Context) -> str:
        return paper.text.upper()

    @typeset.compensate(retry=RETRY)
    async def discard(self, paper: Paper, text: str | None, ctx: Context) -> None:
        self.undone.append(len(text or ""))

    @each(typeset, lambda text: [1, 2], compensate=None, retry=RETRY)
    async def page(self, paper: Paper, number: int, ctx: Context) -> str:
        return f"{number}{paper.text}"

    @step(page, compensate=None, retry=RETRY)
    async def bind(self, paper: Paper, pages: Sequence[str], ctx: Context) -> int:
        if paper.refused:
            raise Reject("no glue")
        return sum(map(len, pages))

    def output(self, input: Paper, ctx: Context) -> str:
        return ctx.result(Print.typeset) + str(ctx.result(Print.bind))


def records(server: MemoryServer) -> list[Loaded]:
    """Return the records that the store has, live and archived."""
    found = []
    for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
        for entry in server.bucket(bucket).entries(""):
            loaded = decode(entry.key, entry.value)
            if isinstance(loaded, Loaded):
                found.append(loaded)
    return found


def check_whole(server: MemoryServer) -> None:
    """Raise ValueLost if a record names a value that is not stored, whole."""
    values = server.bucket("SAGA_VALUES")
    for loaded in records(server):
        record = loaded.record
        key = str(SagaKey(record.saga_type, record.saga_id))
        for claim in claims_in(record):
            parts = [values.read(part) for part in keys_of("saga", key, claim)]
            if None in parts or not claim.fits(b"".join(part.value for part in parts if part is not None)):
                raise ValueLost(key, f"{record.status}, version {record.version} names {claim.name}")
