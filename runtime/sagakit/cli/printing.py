"""Printing: lines as a table, as JSON, as YAML or not at all, and errors on standard error in the same format."""

from __future__ import annotations

import os
import shutil
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
from sagakit.errors import SagakitError

if TYPE_CHECKING:
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
    OutputFormat, typer.Option("-o", "--output", help="A table for people, JSON, JSON lines, YAML, or nothing.")
]


def print_lines(lines: Sequence[LineT], columns: Columns, output: OutputFormat, *, empty: str = "") -> None:
    """Print lines to standard output: a table with these columns, an array, or one object a line.

    `empty` is printed on standard error if there are no lines and the format is a table.
    """
    if output is OutputFormat.table:
        if lines:
            typer.echo(table_text(lines, columns, screen_width()), nl=False)
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
        if isinstance(error, SagakitError):
            typer.echo(f"cause and cure: sagakit explain {type(error).__name__}", err=True)


def note(text: str) -> None:
    """Tell the operator something that is not part of the output."""
    typer.echo(text, err=True)


# ----------------------------------------------------------------------------- tables


def screen_width() -> int:
    """Return the columns of the screen, of COLUMNS if that is set; WIDE for a file or a pipe."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return WIDE


def table_text(lines: Sequence[LineT], columns: Columns, width: int) -> str:
    """Return a table with a bold head. Where `width` is too narrow, cells are cut: those of the last column first."""
    # a table of rich takes longer to print than it takes to find and read what is in it
    rows = [list(columns), *([shown(text(line)) for text in columns.values()] for line in lines)]
    widths = [max(map(_cells, cells)) for cells in zip(*rows, strict=True)]
    fitted = _fitted(widths, width - GAP * (len(widths) - 1))
    head, *body = ((" " * GAP).join(map(_cell, row, fitted)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in (typer.style(head, bold=True), *body))


def _cell(text: str, width: int) -> str:
    """Return a text that fills a cell: filled up, or cut."""
    return _sized(text, width) if _cells(text) <= width else f"{_sized(text, width - 1)}…"


def _cells(text: str) -> int:
    """Return the number of cells that a text takes on the screen."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _sized(text: str, width: int) -> str:
    """Return a text that takes so many cells: filled up, or cut."""
    if text.isascii():
        return text[:width].ljust(width)
    from rich.cells import set_cell_size

    return set_cell_size(text, width)


def tree_text(tree: Tree) -> str:
    """Return a tree of rich as text. Lines that are too long for the screen are wrapped."""
    from rich.console import Console  # takes as long as the rest of `sagakit --help`

    console = Console(width=screen_width())
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
    width = screen_width()
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
