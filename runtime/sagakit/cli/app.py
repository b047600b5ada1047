"""The commands. Each is thin: it reads arguments, calls, and prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import trio
import typer
from rich.console import Console
from rich.table import Table

from sagakit import __version__
from sagakit.cli import accounts_command, loading
from sagakit.cli import demo as demo_command
from sagakit.cli.exits import UsageError, exit_of
from sagakit.client.bare_errors import bare_errors
from sagakit.definition import Saga
from sagakit.errors import CallerError, SagakitError
from sagakit.store.permissions import permissions_of
from sagakit.system.config import Config
from sagakit.system.open_store import names_of

app: typer.Typer = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Sagas on NATS JetStream."
)
console: Console = Console()


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


class LogFormat(StrEnum):
    """How a worker logs."""

    text = "text"
    json = "json"


class LogLevel(StrEnum):
    """From which level on."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class RoleName(StrEnum):
    """What an account is for."""

    setup = "setup"
    worker = "worker"
    client = "client"
    operator = "operator"
    reader = "reader"


def _check_url(url: str) -> str:
    if not url:  # Typer's own words for that quote the names of the variables as Python does
        raise typer.BadParameter("missing: give it, or set SAGAKIT_NATS_URL or NATS_URL", param_hint="--nats")
    return url


def _check_packages(value: bool) -> bool:
    missing = [name for name in WORKER_PACKAGES if find_spec(name) is None]
    if missing:
        typer.echo(f"this command needs {', '.join(missing)}: pip install 'sagakit[worker]'", err=True)
        raise typer.Exit(2)
    return value


WORKER_PACKAGES: tuple[str, ...] = ("hypercorn", "prometheus_client", "pythonjsonlogger", "starlette")
"""What the extra `worker` brings."""
Nats: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar=["SAGAKIT_NATS_URL", "NATS_URL"],
        callback=_check_url,
        show_default=False,
        help="Required: nats://host:port, several with commas; tls://...",
    ),
]
FORM: str = "module:Class, such as examples.orders.saga:PlaceOrder"
ConfigFile: TypeAlias = Annotated[
    str | None, typer.Option(help="A TOML file with the options, in its table [sagakit].")
]
Namespace: TypeAlias = Annotated[str | None, typer.Option(help="Option namespace.")]
Domain: TypeAlias = Annotated[str | None, typer.Option(help="Option domain, of JetStream.")]
ApiPrefix: TypeAlias = Annotated[str | None, typer.Option(help="Option api_prefix, of JetStream.")]
User: TypeAlias = Annotated[str | None, typer.Option(help="Option user; its password comes from SAGAKIT_PASSWORD.")]
Creds: TypeAlias = Annotated[str | None, typer.Option(help="Option credentials: a file with JWT and seed.")]
Nkey: TypeAlias = Annotated[str | None, typer.Option(help="Option nkeys_seed: a file with a seed.")]
TlsCa: TypeAlias = Annotated[str | None, typer.Option("--tls-ca", help="Option tls_ca.")]
TlsCert: TypeAlias = Annotated[str | None, typer.Option("--tls-cert", help="Option tls_cert.")]
TlsKey: TypeAlias = Annotated[str | None, typer.Option("--tls-key", help="Option tls_key.")]
InboxPrefix: TypeAlias = Annotated[str | None, typer.Option(help="Option inbox_prefix.")]


@app.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="A CSV file; by default the 500 orders of the example.")] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill the worker with SIGKILL several times.")] = False,
    folder: Annotated[Path, typer.Option(help="Where server and services keep their data.")] = demo_command.FOLDER,
) -> None:
    """Fulfil orders as sagas over a real nats-server, then audit the books. Interrupted, it goes on when run again."""
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
    """Print something of a Saga class, or what is wrong with it."""
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
def worker(
    sagas: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:SAGAS",
            help="A list of Saga instances, a function that returns one, or a context manager that yields one.",
        ),
    ],
    nats: Nats = "",
    config: ConfigFile = None,
    health: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Answer /live, /ready and /metrics there; port 0 picks one.")
    ] = None,
    asyncio: Annotated[
        bool,
        typer.Option(
            "--asyncio",
            callback=_check_packages,
            is_eager=True,  # what is missing is said before what is wrong with the arguments
            help="MODULE:SAGAS is made on an asyncio loop, where asyncio steps run, too.",
        ),
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Text, or one JSON object a line.")] = LogFormat.text,
    log_level: Annotated[LogLevel, typer.Option(help="From which level on.")] = LogLevel.info,
    namespace: Namespace = None,
    domain: Domain = None,
    api_prefix: ApiPrefix = None,
    name: Annotated[str | None, typer.Option(help="Option worker_name.")] = None,
    drain_timeout: Annotated[float | None, typer.Option(help="Option drain_timeout, in seconds.")] = None,
    max_active: Annotated[int | None, typer.Option(help="Option max_active.")] = None,
    user: User = None,
    creds: Creds = None,
    nkey: Nkey = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    inbox_prefix: InboxPrefix = None,
) -> None:
    """Run sagas in this process until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    Other options come from SAGAKIT_* variables, then from the file --config. Exit codes: see docs/worker.md.
    """
    sys.path.insert(0, str(Path.cwd()))
    from sagakit.cli import (
        logs,  # they need the extra `worker`
        worker_command,
    )

    logs.set_up(log_format.value, log_level.value)
    options = {
        "namespace": namespace,
        "domain": domain,
        "api_prefix": api_prefix,
        "worker_name": name,
        "drain_timeout": drain_timeout,
        "max_active": max_active,
        "user": user,
        "credentials": creds,
        "nkeys_seed": nkey,
        "tls_ca": tls_ca,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "inbox_prefix": inbox_prefix,
    }
    job = worker_command.Job(
        sagas=sagas,
        url=nats,
        config=config,
        options=_given(options),
        health=health,
        asyncio=asyncio,
    )
    raise typer.Exit(worker_command.run(job))


@app.command()
def setup(
    nats: Nats = "",
    config: ConfigFile = None,
    namespace: Namespace = None,
    domain: Domain = None,
    api_prefix: ApiPrefix = None,
    shards: Annotated[int | None, typer.Option(help="Option shards; fixed when the buckets are made.")] = None,
    user: User = None,
    creds: Creds = None,
    nkey: Nkey = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    inbox_prefix: InboxPrefix = None,
) -> None:
    """Make the buckets and streams that are missing, for workers that may not. Options as for a worker."""
    options = {
        "namespace": namespace,
        "domain": domain,
        "api_prefix": api_prefix,
        "shards": shards,
        "user": user,
        "credentials": creds,
        "nkeys_seed": nkey,
        "tls_ca": tls_ca,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "inbox_prefix": inbox_prefix,
    }
    code, text = accounts_command.set_up(nats, config, _given(options))
    typer.echo(text, err=code != 0)
    raise typer.Exit(code)


@app.command()
def permissions(
    role: Annotated[RoleName | None, typer.Argument(help="What the account is for.")] = None,
    namespace: Annotated[str, typer.Option(help="Option namespace of the runtimes.")] = "",
    shards: Annotated[int, typer.Option(help="Option shards of the runtimes.")] = 1,
    inbox_prefix: Annotated[
        str, typer.Option(help="Option inbox_prefix of this account; best one of its own.")
    ] = "_INBOX",
    nsc: Annotated[bool, typer.Option("--nsc", help="As options of `nsc add user`.")] = False,
    two: Annotated[
        bool, typer.Option("--accounts", help="All roles: workers in one account, the others in another one.")
    ] = False,
) -> None:
    """Print the least that a role needs, for the configuration of nats-server: of ROLE, or of all with --accounts."""
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
    table = Table("option", "meaning", "default")
    for name, text, default in Config.describe():
        table.add_row(name, text, repr(default))
    console.print(table)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if value is not None}
