"""Evidence of participants and of traces, as the checker reads it. It imports nothing of sagakit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.load import read_lines


class Work(msgspec.Struct, frozen=True):
    """A piece of work of a participant, as its database has it. `key` is the action's; `at` is in wall clock ns."""

    at: int
    kind: str
    step: str
    key: str
    run: str
    attempt: int

    @property
    def saga(self) -> str:
        """The key of the saga that it was done for."""
        return saga_of(self.key)


class Told(msgspec.Struct, frozen=True):
    """A reply that the inbox has stored, or a dead letter has kept."""

    key: str
    answer: str
    attempt: int
    run: str


class Span(msgspec.Struct, frozen=True):
    """A span that a worker has exported; times in ns."""

    trace: str
    id: str
    parent: str
    links: list[str]
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    error: str = ""


def saga_of(key: str) -> str:
    """Return the key of the saga that an idempotency key belongs to."""
    saga_type, saga_id, _ = key.split("/", 2)
    return f"{saga_type}.{saga_id}"


def read_work(folder: Path) -> list[Work]:
    """Return all work in the participants' database."""
    path = folder / "depot.sqlite3"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT at, kind, step, key, run, attempt FROM work ORDER BY at").fetchall()
    return [Work(*row) for row in rows]


def read_spans(folder: Path) -> list[Span]:
    """Return the spans of all workers."""
    return [span for path in sorted(folder.glob("spans-*.jsonl")) for span in read_lines(path, Span)]


def read_told(folder: Path, name: str) -> list[Told]:
    """Return the replies that a file has."""
    return list(_replies(folder / f"{name}.jsonl"))


def _replies(path: Path) -> Iterator[Told]:
    for line in read_lines(path, dict[str, Any]):
        try:
            yield msgspec.convert(line, Told)
        except msgspec.ValidationError:
            continue  # another kind of dead letter
