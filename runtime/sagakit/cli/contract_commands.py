"""The commands `contract show` and `contract diff`: what sagas exchange with others, and what a change breaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from sagakit.cli.contract_modules import contract_of
from sagakit.cli.exits import CommandExit, UsageError, exit_of
from sagakit.cli.printing import Columns, Output, OutputFormat, print_lines
from sagakit.contract.contract_diff import contract_changes
from sagakit.contract.contract_reading import Contract, read_contract
from sagakit.errors import SagakitError

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
contract: typer.Typer = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Print what sagas exchange with others, and what a change breaks."
)
commands.add_typer(contract, name="contract")
T = TypeVar("T")
COLUMNS: Columns = {
    "breaks": lambda line: line.who if line.breaks else f"({line.who})",
    "where": lambda line: line.where,
    "what": lambda line: line.what,
}
Namespace = Annotated[str, typer.Option(metavar="NAME", help="The namespace of the workers, if they have one.")]


@contract.command()
def show(
    sagas: Annotated[
        list[str],
        typer.Argument(metavar="MODULE[:NAME]...", help="Modules with Saga classes, or lists of sagas in them."),
    ],
    namespace: Namespace = "",
) -> None:
    """Print what sagas take, publish and send as an AsyncAPI 3 document, with the schemas of all messages."""
    document = _said(lambda: contract_of(sagas, namespace=namespace))
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@contract.command()
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A file that `contract show` has printed, or MODULE[:NAME].")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, of the code that is to be deployed.")],
    namespace: Namespace = "",
    output: Output = OutputFormat.table,
) -> None:
    """Say what would break whom: running sagas, senders of commands, participants, readers of events.

    Exit codes: 0 if nothing breaks, 1 if something does.
    """
    lines = _said(lambda: contract_changes(_contract(old, namespace), _contract(new, namespace)))
    print_lines(lines, COLUMNS, output, empty="nothing breaks")
    raise typer.Exit(CommandExit.NOT_APPLIED if any(line.breaks for line in lines) else 0)


def _contract(named: str, namespace: str) -> Contract:
    """Return the contract in a file, or of a module. Raises UsageError, SagakitError."""
    file = Path(named)
    if not (file.is_file() or named.endswith(".json")):
        return read_contract(contract_of([named], namespace=namespace), named)
    try:
        return read_contract(msgspec.json.decode(file.read_bytes()), named)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{named} cannot be read: {error}") from None


def _said(work: Callable[[], T]) -> T:
    """Return the result of the work, or end with its error in one line."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return work()
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except SagakitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(exit_of(error)) from None
