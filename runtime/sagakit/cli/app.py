"""The commands but those of operators. Each one is thin: it reads arguments, calls, and prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import trio
import typer

from sagakit import __version__
from sagakit.cli import accounts_command, loading
from sagakit.cli.command_options import (
    CONNECTION,
    SETUP,
    WORKER,
    ConfigFile,
    HealthAddress,
    LogFormat,
    LogFormatName,
    LogLevel,
    LogLevelName,
    Nats,
    OnAsyncio,
    RoleName,
    SagaList,
    with_options,
)
from sagakit.cli.exits import UsageError, exit_of
from sagakit.cli.lazy_group import LazyGroup
from sagakit.client.bare_errors import bare_errors
from sagakit.definition import Saga
from sagakit.errors import CallerError, SagakitError
from sagakit.store.permissions import permissions_of
from sagakit.system.config import Config
from sagakit.system.open_store import names_of

if TYPE_CHECKING:
    from rich.console import Console

app: typer.Typer = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Sagas on NATS JetStream."
)
FORM: str = "module:Class, such as examples.orders.saga:PlaceOrder"


@cache
def _console() -> Console:
    from rich.console import Console  # costs as much time as the rest of `sagakit --help` does after `import sagakit`

    return Console()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sagakit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sagas on NATS JetStream."""


@app.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="A CSV file; by default the 500 orders of the example.")] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill the worker with SIGKILL several times.")] = False,
    folder: Annotated[Path, typer.Option(help="Folder for the data of server and services.")] = Path(".sagakit/demo"),
) -> None:
    """Fulfill orders as sagas over a real nats-server, then audit the books. Run again to continue after a Ctrl-C."""
    from sagakit.cli import demo as demo_command  # it needs rich

    console = _console()
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


@app.command()
def diagram(saga: Annotated[str, typer.Argument(help=FORM)]) -> None:
    """Print a saga's plan as a Mermaid flowchart."""
    _show(saga, lambda found: found.diagram())


@app.command()
def schema(saga: Annotated[str, typer.Argument(help=FORM)]) -> None:
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


@app.command()
def explore(
    module: Annotated[str, typer.Argument(help="A module, or its submodule `exploration`, with an Exploration.")],
) -> None:
    """Run a saga with every single fault, and report the first run that breaks a promise or the saga's invariant."""
    sys.path.insert(0, str(Path.cwd()))
    from sagakit.testing import command  # the kit for tests: other commands do not need it

    console = _console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with console.status("") as status:
        try:
            code = command.run(module, tell=tell, progress=status.update)
        except command.NothingToExplore as error:
            raise typer.BadParameter(str(error)) from None
    raise typer.Exit(code)


@app.command()
@with_options(WORKER | CONNECTION)
def worker(
    sagas: SagaList,
    nats: Nats = "",
    config: ConfigFile = None,
    health: HealthAddress = None,
    asyncio: OnAsyncio = False,
    log_format: LogFormatName = LogFormat.text,
    log_level: LogLevelName = LogLevel.info,
    *,
    options: dict[str, Any],
) -> None:
    """Run sagas in this process until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    Other options come from SAGAKIT_* variables, then from the file --config. Exit codes: see docs/worker.md.
    """
    sys.path.insert(0, str(Path.cwd()))
    from sagakit.cli import logs, worker_command  # they need the extra `worker`

    logs.set_up(log_format.value, log_level.value)
    job = worker_command.Job(sagas=sagas, url=nats, config=config, options=options, health=health, asyncio=asyncio)
    raise typer.Exit(worker_command.run(job))


@app.command()
@with_options(SETUP | CONNECTION)
def setup(nats: Nats = "", config: ConfigFile = None, *, options: dict[str, Any]) -> None:
    """Make the buckets and streams that are missing, for workers that may not make them. Options as for a worker."""
    code, text = accounts_command.set_up(nats, config, options)
    typer.echo(text, err=code != 0)
    raise typer.Exit(code)


@app.command()
def permissions(
    role: Annotated[RoleName | None, typer.Argument(help="The role of the account.")] = None,
    namespace: Annotated[str, typer.Option(help="Option namespace of the runtimes.")] = "",
    shards: Annotated[int, typer.Option(help="Option shards of the runtimes.")] = 1,
    inbox_prefix: Annotated[
        str, typer.Option(help="Option inbox_prefix of this account; best different for each account.")
    ] = "_INBOX",
    nsc: Annotated[bool, typer.Option("--nsc", help="Print options of `nsc add user`.")] = False,
    two: Annotated[
        bool, typer.Option("--accounts", help="Print all roles: workers in one account, the others in another one.")
    ] = False,
) -> None:
    """Print the least permissions that ROLE needs, or all roles with --accounts, as nats-server's configuration."""
    if (role is None) != two or (two and nsc):
        raise typer.BadParameter("give a role, with or without --nsc, or --accounts for all of them")
    try:
        options = Config(namespace=namespace, shards=shards, inbox_prefix=inbox_prefix)
    except CallerError as error:
        raise typer.BadParameter(str(error)) from None
    if role is None:
        typer.echo(accounts_command.as_two_accounts(names_of(options), inbox_prefix=options.inbox_prefix))
        return
    found = permissions_of(role.value, names_of(options), inbox_prefix=options.inbox_prefix)
    typer.echo(accounts_command.as_nsc(found) if nsc else accounts_command.as_server_config(found))


@app.command()
def config() -> None:
    """List every option of a runtime, with its unit and default."""
    from rich.table import Table

    table = Table("option", "meaning", "default")
    for name, text, default in Config.describe():
        table.add_row(name, text, repr(default))
    _console().print(table)
