"""Printing: lines as a table, as JSON, as YAML or not at all, and errors on standard error in the same format."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
import typer

from sagakit.cli.exits import UsageError
from sagakit.client.json_shapes import ErrorLine

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

WIDE = 400
"""Columns of a table that is written to a file or a pipe, unless COLUMNS says another number."""
GAP = 2
"""Blanks between two columns of a table."""
LEAST = 16
"""Columns of the screen that the last column of a table has at the least, if the others keep their widths."""
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

    `empty` is printed on standard error if there are no lines and the format is a table.
    """
    if output is OutputFormat.table:
        if lines:
            sys.stdout.write(table_text(lines, columns, _console()))
        elif empty:
            note(empty)
    elif output is OutputFormat.jsonl:
        sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(lines))
    else:
        _print_whole(lines, output)


def print_one(line: msgspec.Struct, text: str, output: OutputFormat) -> None:
    """Print one thing to standard output, as `text` or as an object."""
    if output is OutputFormat.table:
        typer.echo(text_lines(text))
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


def table_text(lines: Sequence[LineT], columns: Columns, console: Console) -> str:
    """Return a table. Where the screen is too narrow, cells are cut: those of the last column first."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    rows = [[shown(text(line)) for text in columns.values()] for line in lines]
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for name, width in zip(columns, _fitted(widths, console.width - GAP * (len(widths) - 1)), strict=True):
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def tree_text(tree: Tree) -> str:
    """Return a tree of rich as text. Lines that are too long for the screen are wrapped."""
    console = _console()
    with console.capture() as captured:
        console.print(tree)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths, so narrow that they fit: at first the last one gives way, then the widest one."""
    given = list(widths)
    while sum(given) > room and max(given) > 1:
        narrower = -1 if given[-1] > LEAST else given.index(max(given))
        given[narrower] -= 1
    return given


def text_lines(text: str) -> str:
    """Return a text for people, wrapped to the screen with deeper lines, without characters that steer a terminal."""
    width = _console().width
    return "\n".join(part for line in text.splitlines() for part in _wrapped(shown(line), width))


def _wrapped(line: str, width: int) -> list[str]:
    deeper = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, width, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False)


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
