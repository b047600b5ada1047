"""Printing: lines as a table, as JSON, as YAML or not at all, and errors on standard error in the same format."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
import typer

from sagakit.cli.exits import UsageError
from sagakit.cli.json_shapes import ErrorLine

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 400
"""Columns of a table that is written to a file or a pipe, unless COLUMNS says another number."""
LineT = TypeVar("LineT", bound=msgspec.Struct)
Columns: TypeAlias = Mapping[str, Callable[[Any], str]]
"""The columns of a table: the text of each for one line."""


class OutputFormat(StrEnum):
    """The format of the output."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    yaml = "yaml"
    none = "none"


Output: TypeAlias = Annotated[
    OutputFormat, typer.Option("-o", "--output", help="Table for people, or JSON, JSON lines or YAML; or none.")
]


def print_lines(lines: Sequence[LineT], columns: Columns, output: OutputFormat, *, empty: str = "") -> None:
    """Print lines to standard output: a table with these columns, an array, or one object a line.

    `empty` is told on standard error if there are no lines and the format is a table.
    """
    if output is OutputFormat.table:
        if lines:
            console = _console()
            console.print(table_of(lines, columns))
        elif empty:
            note(empty)
    elif output is OutputFormat.jsonl:
        sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(lines))
    else:
        _print_whole(lines, output)


def print_one(line: msgspec.Struct, text: str, output: OutputFormat) -> None:
    """Print one thing to standard output, as `text` or as an object."""
    if output is OutputFormat.table:
        typer.echo(text)
    elif output is OutputFormat.jsonl:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    else:
        _print_whole(line, output)


def _print_whole(value: Any, output: OutputFormat) -> None:
    if output is OutputFormat.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    elif output is OutputFormat.yaml:
        sys.stdout.buffer.write(_yaml(value))


def check_output(output: OutputFormat) -> None:
    """Raise UsageError if the format needs a package that is not installed."""
    if output is OutputFormat.yaml:
        _yaml(None)


def _yaml(value: Any) -> bytes:
    try:
        return msgspec.yaml.encode(value)
    except ImportError:
        raise UsageError("-o yaml needs PyYAML: pip install 'sagakit[cli]'") from None


def print_error(error: BaseException, code: int, output: OutputFormat) -> None:
    """Print an error to standard error: its text, or a JSON object if the output is JSON."""
    sys.stdout.flush()
    if output in (OutputFormat.json, OutputFormat.jsonl):
        line = ErrorLine(error=type(error).__name__, message=str(error), exit=code)
        typer.echo(msgspec.json.encode(line).decode(), err=True)
    else:
        typer.echo(str(error) or type(error).__name__, err=True)


def note(text: str) -> None:
    """Tell the operator something that is not part of the output."""
    typer.echo(text, err=True)


# ----------------------------------------------------------------------------- tables


def _console() -> Console:
    from rich.console import Console  # takes as long as the rest of `sagakit --help`

    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console()
    return Console(width=WIDE)


def table_of(lines: Sequence[LineT], columns: Columns) -> Any:
    """Return a rich table. All columns but the last keep their width; the last one is cut where the screen ends."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    last = list(columns)[-1]
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=None if name == last else len(name))
    for line in lines:
        table.add_row(*[Text(shown(text(line))) for text in columns.values()])
    return table


def shown(text: str) -> str:
    """Return a text in one line, without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def age(time: datetime | None, now: float) -> str:
    """Return the time since `time` in one unit, such as 12m; empty for None."""
    if time is None:
        return ""
    seconds = max(0.0, now - time.timestamp())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def utc(time: datetime | None) -> str:
    """Return a time in UTC with milliseconds; empty for None."""
    if time is None:
        return ""
    return time.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + "Z"
