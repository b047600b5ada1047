"""The commands. Each is thin: it reads arguments, calls, and prints."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import trio
import typer
from rich.console import Console
from rich.table import Table

from sagakit.cli import demo as demo_command
from sagakit.client.errors import bare_errors
from sagakit.definition import Saga
from sagakit.errors import SagakitError
from sagakit.system.config import Config

app: typer.Typer = typer.Typer(no_args_is_help=True, add_completion=False, help="Sagas on NATS JetStream.")
console: Console = Console()

EXAMPLE: str = "examples.orders.saga:PlaceOrder"


@app.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="A CSV file; by default the 500 orders of the example.")] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill the worker with SIGKILL several times.")] = False,
    folder: Annotated[Path, typer.Option(help="Where server and services keep their data.")] = demo_command.FOLDER,
) -> None:
    """Fulfil orders as sagas over a real nats-server, then audit the books. Interrupted, it goes on when run again."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        with bare_errors():
            good = trio.run(demo_command.run, orders, crash, folder, console)
    except KeyboardInterrupt:
        console.print("\ninterrupted; run the same command again and it goes on")
        raise typer.Exit(130) from None
    except demo_command.CannotRun as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(2) from None
    raise typer.Exit(0 if good else 1)


@app.command()
def diagram(saga: Annotated[str, typer.Argument(help=f"module:Class, such as {EXAMPLE}")]) -> None:
    """Print a saga's plan as a Mermaid flowchart."""
    sys.path.insert(0, str(Path.cwd()))
    typer.echo(_saga_class(saga).diagram(), nl=False)


@app.command()
def explore(
    module: Annotated[str, typer.Argument(help="A module, or its submodule `exploration`, with an Exploration.")],
) -> None:
    """Run every single-fault schedule of a saga, and report the first that breaks a promise or its invariant."""
    sys.path.insert(0, str(Path.cwd()))
    from sagakit.testing import command  # the kit is for those who test

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with console.status("") as status:
        try:
            code = command.run(module, tell=tell, progress=status.update)
        except command.NothingToExplore as error:
            raise typer.BadParameter(str(error)) from None
    raise typer.Exit(code)


@app.command()
def config() -> None:
    """List every option of a runtime, with its unit and default."""
    table = Table("option", "meaning", "default")
    for name, text, default in Config.describe():
        table.add_row(name, text, repr(default))
    console.print(table)


def _saga_class(address: str) -> type[Saga[Any, Any]]:
    module, colon, name = address.partition(":")
    if not colon:
        raise typer.BadParameter(f"write module:Class, such as {EXAMPLE}")
    try:
        found = getattr(import_module(module), name)
    except (ModuleNotFoundError, AttributeError, SagakitError) as error:
        raise typer.BadParameter(str(error)) from None
    if not (isinstance(found, type) and issubclass(found, Saga)):
        raise typer.BadParameter(f"{address} is no Saga class")
    return found
