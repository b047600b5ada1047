"""The command `contract show`: what sagas exchange with others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sagakit.cli.contract_modules import contract_of
from sagakit.cli.exits import UsageError, exit_of
from sagakit.errors import SagakitError

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
contract: typer.Typer = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Print what sagas exchange with others, as an AsyncAPI document."
)
commands.add_typer(contract, name="contract")
T = TypeVar("T")
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


def _said(work: Callable[[], T]) -> T:
    """Return what the work returns, or end with its error in one line."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return work()
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except SagakitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(exit_of(error)) from None
