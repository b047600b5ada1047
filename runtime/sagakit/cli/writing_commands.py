"""The commands for people who write sagas: init, diagram, schema, explore, demo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sagakit.cli import loading, scaffold
from sagakit.cli.exits import UsageError, exit_of
from sagakit.definition import Saga
from sagakit.errors import SagakitError

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
FORM: str = "MODULE:CLASS, such as shop.sagas:PlaceOrder"


@commands.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project; its package gets the same name.")],
    fastapi: Annotated[
        bool, typer.Option("--fastapi", help="With a FastAPI service that has the worker in it.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="The folder to make; by default NAME.")] = None,
) -> None:
    """Make a project that runs: a saga with its services, tests of every fault, a demo, a worker."""
    where = Path(name) if folder is None else folder
    try:
        made = scaffold.make_project(where, name, fastapi=fastapi)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    for file in made:
        typer.echo(str(file))
    typer.echo(f"\ncd {where}; pip install -e '.[test]'; then `make test`, `make demo`", err=True)


@commands.command()
def diagram(saga: Annotated[str, typer.Argument(metavar="SAGA", help=FORM)]) -> None:
    """Print a saga's plan as a Mermaid flowchart."""
    _show(saga, lambda found: found.diagram())


@commands.command()
def schema(saga: Annotated[str, typer.Argument(metavar="SAGA", help=FORM)]) -> None:
    """Print the JSON Schemas of what a saga keeps: input, output, results, signals."""
    _show(saga, lambda found: json.dumps(found.schema(), indent=2, ensure_ascii=False) + "\n")


def _show(address: str, text: Callable[[type[Saga[Any, Any]]], str]) -> None:
    """Print a text about a Saga class, or the error in the class."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        typer.echo(text(loading.saga_class(address, form=FORM)), nl=False)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except SagakitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(exit_of(error)) from None


@commands.command()
def explore(
    module: Annotated[
        str, typer.Argument(metavar="MODULE", help="A module, or its submodule `exploration`, with an Exploration.")
    ],
) -> None:
    """Run a saga with every single fault, and report the first run that breaks a promise or the saga's invariant."""
    sys.path.insert(0, str(Path.cwd()))
    from rich.console import Console

    from sagakit.testing import command

    console = Console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with console.status("") as status:
        try:
            code = command.run(module, tell=tell, progress=status.update)
        except command.NothingToExplore as error:
            raise typer.BadParameter(str(error)) from None
    raise typer.Exit(code)


@commands.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="A CSV file; by default the 500 orders of the example.")] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill the worker with SIGKILL several times.")] = False,
    folder: Annotated[Path, typer.Option(help="Folder for the data of server and services.")] = Path(".sagakit/demo"),
) -> None:
    """Fulfill orders as sagas over a real nats-server, then audit the books. Run again to continue after a Ctrl-C."""
    import trio
    from rich.console import Console

    from sagakit.cli import demo as demo_command
    from sagakit.client.bare_errors import bare_errors

    console = Console()
    try:
        demo_command.check_can_run()
        sys.path.insert(0, str(Path.cwd()))
        with bare_errors():
            good = trio.run(demo_command.run, orders, crash, folder, console)
    except KeyboardInterrupt:
        console.print("\ninterrupted; run the same command again and it goes on")
        raise typer.Exit(130) from None
    except demo_command.CannotRun as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(2) from None
    raise typer.Exit(0 if good else 1)
