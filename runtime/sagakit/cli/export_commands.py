"""The commands that take sagas elsewhere: export, sql."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, BinaryIO

import msgspec
import trio
import typer

from sagakit.cli.choosing import AT_ONCE, Choice, choice_to_look, chosen, key_of_record
from sagakit.cli.command_options import FilterText, SagaWords
from sagakit.cli.exits import UsageError
from sagakit.cli.export_files import Duck, FileFormat, needed, writer_of
from sagakit.cli.export_rows import TABLES, EventRow, TableRow, event_row, holds_sealed, saga_row, step_rows
from sagakit.cli.printing import Columns, note, print_lines, utc
from sagakit.cli.session import Session, Work, in_session
from sagakit.cli.standard_output import OutputError, OutputFile
from sagakit.client.by_key import PlainAccess
from sagakit.client.shown_values import ShownValues
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine import Record
from sagakit.errors import UnknownSaga, ValueLost
from sagakit.repository import Wanted
from sagakit.repository.export import pages_of_all

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


class TableName(StrEnum):
    """The table to export."""

    sagas = "sagas"
    steps = "steps"
    events = "events"


@commands.command()
@in_session()
def export(
    session: Session,
    sagas: SagaWords = None,
    where: FilterText = None,
    format: Annotated[
        FileFormat, typer.Option(help="The format of the file; Parquet and Arrow need sagakit[export].")
    ] = FileFormat.jsonl,
    table: Annotated[TableName, typer.Option(help="What each row is: a saga, a step or an event.")] = TableName.sagas,
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="The file; by default standard output, for JSON lines only.")
    ] = None,
) -> None:
    """Write sagas, steps or events into a file, unfinished sagas and ended ones alike."""

    def prepared() -> Work:
        choice = choice_to_look(sagas, where)
        if to is None and format is not FileFormat.jsonl:
            raise UsageError(f"--format {format} needs a file: --to FILE")
        if format is not FileFormat.jsonl:
            needed("pyarrow", "export")

        async def work(access: PlainAccess) -> None:
            written, reader = 0, _SagaReader(access)
            with _target(to) as file, closing(writer_of(file, table, format)) as writer:
                async for records in _records(access, choice):
                    rows = await reader.rows(table, records)
                    if rows:
                        writer.write(rows)
                    written += len(rows)
            note(f"{written:,} {table}")
            reader.tell_of_sealed(", which stay so in an export")

        return work

    session.run(prepared)


@commands.command()
@in_session()
def sql(
    session: Session,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="A query over the tables sagas, steps and events, in DuckDB's SQL.")
    ],
    sagas: SagaWords = None,
    where: FilterText = None,
) -> None:
    """Query sagas, steps and events by SQL, unfinished sagas and ended ones alike. Needs sagakit[sql]."""

    def prepared() -> Work:
        choice = choice_to_look(sagas, where)
        needed("duckdb", "sql")
        used = [TableName(name) for name in TABLES if re.search(rf"\b{name}\b", query, re.IGNORECASE)]

        async def work(access: PlainAccess) -> None:
            reader = _SagaReader(access, session.payloads)
            with closing(Duck(TABLES)) as duck:
                async for records in _records(access, choice) if used else _none():
                    for table in used:
                        rows = await reader.rows(table, records)
                        if rows:
                            duck.write(table, rows)
                lines, columns = _lines(duck.query(query))
            print_lines(lines, columns, session.output, empty="no rows")
            reader.tell_of_sealed(": --payload-codec MODULE:NAME opens them")

        return work

    session.run(prepared)


async def _none() -> AsyncIterator[Sequence[Record]]:
    return
    yield


async def _records(access: PlainAccess, choice: Choice) -> AsyncIterator[Sequence[Record]]:
    """Yield the sagas of a choice in pages, and tell of the keys that have no record."""
    if choice.filters:
        wanted = Wanted(where=choice.wanted(access.now()), ended=True)
        async with aclosing(pages_of_all(access.repository, wanted)) as pages:
            async for page in pages:
                for one in page.unreadable:
                    note(f"{one.key}: its record cannot be read: {one.reason}")
                yield page.records
    if choice.keys:
        found = await chosen(access, Choice(choice.keys))
        for key, why in found.missing:
            note(why if key in why else f"{key}: {why}")
        yield found.records


class _SagaReader:
    """Reads the rows of sagas. Values are opened by the payloads that it has, and stay sealed without."""

    def __init__(self, access: PlainAccess, payloads: Payloads = PLAIN_PAYLOADS) -> None:
        self._access = access
        self._shown = ShownValues(payloads, words=False) if payloads.codecs else None
        self._sealed: set[str] = set()

    async def rows(self, table: TableName, records: Sequence[Record]) -> Sequence[TableRow]:
        """Return the rows of some sagas in a table."""
        found = await (self._event_rows(records) if table is TableName.events else self._saga_rows(table, records))
        self._sealed.update(row.key for row in found if holds_sealed(row))
        return found

    def tell_of_sealed(self, advice: str) -> None:
        """Tell the operator how many sagas have values that stayed sealed, if there are any."""
        if self._sealed:
            note(f"{len(self._sealed):,} sagas have sealed values{advice}")

    async def _saga_rows(self, table: TableName, records: Sequence[Record]) -> Sequence[TableRow]:
        return [row for record in records for row in await self._rows_of(table, record)]

    async def _rows_of(self, table: TableName, record: Record) -> Sequence[TableRow]:
        try:
            record = await self._access.filled(record)
        except ValueLost as error:  # the rest of the saga is exported all the same
            note(str(error))
        record = record if self._shown is None else self._shown.record(record)
        return [saga_row(record)] if table is TableName.sagas else [*step_rows(record)]

    async def _event_rows(self, records: Sequence[Record]) -> Sequence[TableRow]:
        found: dict[str, Sequence[EventRow]] = {}
        limit = trio.CapacityLimiter(AT_ONCE)

        async def read(record: Record) -> None:
            key = key_of_record(record)
            async with limit:
                try:
                    history = await self._access.history(key)
                except ValueLost as error:
                    note(str(error))
                    history = await self._access.repository.history(record)
                except UnknownSaga:  # deleted meanwhile
                    return
                events = history.events if self._shown is None else map(self._shown.event, history.events)
                found[key] = [event_row(history.record, event) for event in events]

        async with trio.open_nursery() as nursery:
            for record in records:
                nursery.start_soon(read, record)
        return [row for record in records for row in found.get(key_of_record(record), ())]


@contextmanager
def _target(to: str | None) -> Iterator[BinaryIO]:
    """Open the file under another name, which it keeps until it is complete; or standard output."""
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.flush()  # nobody is told of rows that a full disk has not taken
        return
    part = f"{to}.part"
    try:
        with OutputFile(part, f"--to {to}") as raw, io.BufferedWriter(raw) as file:
            yield file
        os.replace(part, to)
    except OutputError:  # a full disk gets back what is of no use
        os.unlink(part)
        raise
    except OSError as error:
        raise UsageError(f"--to {to}: {error.strerror}") from None


def _lines(answer: Any) -> tuple[Sequence[msgspec.Struct], Columns]:
    """Return the rows of an answer as lines to print, with their columns. Two columns of one name are told apart."""
    names: list[str] = []
    for name in [] if answer is None else answer.columns:
        names.append(next(other for other in _candidates(name) if other not in names))
    fields = [f"column{number}" for number in range(len(names))]
    line = msgspec.defstruct(
        "SqlLine", [(field, Any) for field in fields], rename=dict(zip(fields, names, strict=True))
    )
    rows = [] if answer is None else answer.fetchall()
    columns: Columns = {name: partial(_shown, field) for name, field in zip(names, fields, strict=True)}
    return [line(*row) for row in rows], columns


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in range(2, 1_000))


def _shown(field: str, line: Any) -> str:
    value = getattr(line, field)
    if value is None:
        return ""
    return utc(value) if hasattr(value, "isoformat") and hasattr(value, "hour") else str(value)
