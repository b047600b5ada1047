"""The command `context`: list, show, select."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NoReturn

import typer

from sagakit.cli import contexts
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.printing import Columns, Output, OutputFormat, note, print_lines, print_one
from sagakit.client.json_shapes import ContextLine

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
context: typer.Typer = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, show and select contexts of the `nats` command."
)
commands.add_typer(context, name="context")

COLUMNS: Columns = {
    "": lambda line: "*" if line.selected else "",
    "context": lambda line: line.name,
    "server": lambda line: line.url,
    "description": lambda line: line.description,
}


@context.command("list")
def list_(output: Output = OutputFormat.table) -> None:
    """List the contexts, with a star at the one that is selected."""
    lines = []
    for name in contexts.names():
        try:
            lines.append(_line(name))
        except UsageError as error:
            note(str(error))
    print_lines(lines, COLUMNS, output, empty="there are no contexts")


@context.command()
def show(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="By default the context that is selected.")] = None,
    output: Output = OutputFormat.table,
) -> None:
    """Show a context, without its secrets."""
    wanted = name or contexts.selected()
    if not wanted:
        _refuse("no context is selected: name one, or use `sagakit context select`")
    try:
        line = _line(wanted)
    except UsageError as error:
        _refuse(str(error))
    fields = "\n".join(f"{field}: {value}" for field, value in line.fields.items())
    print_one(line, f"{line.name}\n{fields}", output)


@context.command()
def select(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The context to use from now on.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Use no context from now on.")] = False,
) -> None:
    """Use a context from now on, where a command names no server. The choice of the `nats` command stays as it is."""
    if (name is None) is not none:
        _refuse("name a context, or give --none")
    try:
        contexts.select(name or "")
    except UsageError as error:
        _refuse(str(error))
    note(f"commands now use {name}" if name else "commands now use no context")


def _line(name: str) -> ContextLine:
    """Return the line of a context. Raises UsageError."""
    found = contexts.read(name)
    return ContextLine(
        name=name,
        url=found.url,
        description=str(found.fields.get("description") or ""),
        selected=name == contexts.selected(),
        fields=_shown(found.fields),
    )


def _shown(fields: Mapping[str, object]) -> Mapping[str, str]:
    return {
        name: "***" if name in contexts.SECRETS else str(value)
        for name, value in fields.items()
        if value and (name in contexts.OPTIONS or name in ("url", "description"))
    }


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(CommandExit.USAGE)
