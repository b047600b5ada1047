"""Tables of an export as files, and in DuckDB. pyarrow and duckdb are imported when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from typing import Any, BinaryIO, Protocol

import msgspec

from sagakit.cli.exits import UsageError
from sagakit.cli.export_rows import NULL, TABLES, TableRow
from sagakit.extras import named


class FileFormat(StrEnum):
    """The format of an exported file."""

    jsonl = "jsonl"
    parquet = "parquet"
    arrow = "arrow"


class TableWriter(Protocol):
    """A file that rows are written to."""

    def write(self, rows: Sequence[TableRow]) -> None:
        """Write rows; there is at least one."""
        ...

    def close(self) -> None:
        """Write the end of the file. The file itself stays open."""
        ...


class JsonLines:
    """A file with one JSON object a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Sequence[TableRow]) -> None:
        """Write rows."""
        self._file.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        """Write nothing more: the format has no end."""


class ArrowFile:
    """A file of Arrow or Parquet. Each call of `write` makes one batch, or one row group."""

    def __init__(self, file: BinaryIO, table: str, format: FileFormat) -> None:
        self._table = table
        schema = arrow_schema(table)
        if format is FileFormat.parquet:
            self._writer: Any = needed("pyarrow.parquet", "export").ParquetWriter(file, schema)
        else:
            self._writer = needed("pyarrow", "export").ipc.new_file(file, schema)

    def write(self, rows: Sequence[TableRow]) -> None:
        """Write rows."""
        self._writer.write_table(arrow_table(self._table, rows))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


class Duck:
    """A DuckDB in memory with tables of an export."""

    def __init__(self, tables: Iterable[str]) -> None:
        self._connection = needed("duckdb", "sql").connect(":memory:")
        self._connection.execute("SET TimeZone = 'UTC'")
        for table in tables:
            self._add(table, (), "CREATE TABLE {} AS SELECT * FROM batch")

    def write(self, table: str, rows: Sequence[TableRow]) -> None:
        """Add rows to a table."""
        self._add(table, rows, "INSERT INTO {} SELECT * FROM batch")

    def query(self, text: str) -> Any:
        """Return the answer to a query as a table of Arrow. Raises UsageError with the text of DuckDB."""
        try:
            return self._connection.sql(text)
        except needed("duckdb", "sql").Error as error:
            raise UsageError(str(error)) from None

    def close(self) -> None:
        """Forget the tables."""
        self._connection.close()

    def _add(self, table: str, rows: Sequence[TableRow], sql: str) -> None:
        self._connection.register("batch", arrow_table(table, rows))
        self._connection.execute(sql.format(table))
        self._connection.unregister("batch")


def writer_of(file: BinaryIO, table: str, format: FileFormat) -> TableWriter:
    """Return the writer of a format. Raises UsageError if its package is missing."""
    return JsonLines(file) if format is FileFormat.jsonl else ArrowFile(file, table, format)


def needed(module: str, extra: str) -> Any:
    """Return a module of an extra. Raises UsageError if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(str(named(error, "this", extra))) from None


def arrow_schema(table: str) -> Any:
    """Return the schema of a table for Arrow: times are in UTC, values are JSON in texts."""
    arrow = needed("pyarrow", "export")
    kinds = {int: arrow.int64(), datetime: arrow.timestamp("us", tz="UTC")}
    return arrow.schema(
        [
            arrow.field(
                field.name, next((kind for type, kind in kinds.items() if _has(field.type, type)), arrow.string())
            )
            for field in msgspec.structs.fields(TABLES[table])
        ]
    )


def arrow_table(table: str, rows: Sequence[TableRow]) -> Any:
    """Return rows as a table of Arrow."""
    names = [field.name for field in msgspec.structs.fields(TABLES[table])]
    columns = [[_plain(getattr(row, name)) for row in rows] for name in names]
    schema = arrow_schema(table)
    arrays = [
        needed("pyarrow", "export").array(column, kind) for column, kind in zip(columns, schema.types, strict=True)
    ]
    return needed("pyarrow", "export").Table.from_arrays(arrays, schema=schema)


def _has(annotation: Any, type: type) -> bool:
    return annotation is type or type in getattr(annotation, "__args__", ())


def _plain(value: Any) -> Any:
    if not isinstance(value, msgspec.Raw):
        return value
    return None if value == NULL else bytes(value).decode()
