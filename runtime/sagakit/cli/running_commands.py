"""The commands that run sagas, and prepare servers and monitoring: worker, setup, permissions, config, metrics."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sagakit.cli import accounts_command, loading, monitoring
from sagakit.cli.command_options import (
    CONNECTION,
    SETUP,
    WORKER,
    CommandList,
    ConfigFile,
    HealthAddress,
    LogFormat,
    LogFormatName,
    LogLevel,
    LogLevelName,
    Nats,
    OnAsyncio,
    PayloadCodecName,
    Processes,
    RoleName,
    SagaList,
    TracingName,
    with_options,
)
from sagakit.cli.exits import UsageError
from sagakit.errors import CallerError
from sagakit.system.config import Config
from sagakit.system.open_store import names_of

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


class MetricsFile(StrEnum):
    """The files that `sagakit metrics` prints."""

    dashboard = "dashboard"
    alerts = "alerts"


@commands.command()
@with_options(WORKER | CONNECTION)
def worker(
    sagas: SagaList,
    nats: Nats = "",
    config: ConfigFile = None,
    commands: CommandList = None,
    tracing: TracingName = None,
    payload_codec: PayloadCodecName = None,
    health: HealthAddress = None,
    processes: Processes = None,
    asyncio: OnAsyncio = False,
    log_format: LogFormatName = LogFormat.text,
    log_level: LogLevelName = LogLevel.info,
    *,
    options: dict[str, Any],
) -> None:
    """Run sagas in this process until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    With --processes it runs none itself: it keeps so many worker processes running, and drains all of them.

    Other options come from SAGAKIT_* variables, then from the file --config. Exit codes:
    0 once it has drained, 2 for a wrong command line, 70 for a bug, else the one that `sagakit explain NAME` gives for
    the error.
    """
    sys.path.insert(0, str(Path.cwd()))
    from sagakit.cli import logs, processes_command, worker_command  # they need the extra `worker`

    logs.set_up(log_format.value, log_level.value)
    job = worker_command.WorkerCall(
        sagas=sagas,
        url=nats,
        config=config,
        options=options,
        commands=commands,
        tracing=tracing,
        payload_codec=payload_codec,
        health=health,
        asyncio=asyncio,
    )
    if processes is None:
        raise typer.Exit(worker_command.run(job))
    try:
        count = processes_command.processes_of(processes)
    except UsageError as error:
        raise typer.BadParameter(str(error), param_hint="--processes") from None
    call = processes_command.ProcessesCall(
        worker=job, count=count, log_format=log_format.value, log_level=log_level.value
    )
    raise typer.Exit(processes_command.run(call))


@commands.command()
@with_options(SETUP | CONNECTION)
def setup(nats: Nats = "", config: ConfigFile = None, *, options: dict[str, Any]) -> None:
    """Make the buckets and streams that are missing, for workers that may not make them. Options as for a worker."""
    code, text = accounts_command.set_up(nats, config, options)
    typer.echo(text, err=code != 0)
    raise typer.Exit(code)


@commands.command()
def permissions(
    role: Annotated[RoleName | None, typer.Argument(help="The role of the account.")] = None,
    namespace: Annotated[str, typer.Option(help="The namespace of the workers.")] = "",
    shards: Annotated[int, typer.Option(help="The shards of the workers.")] = 1,
    inbox_prefix: Annotated[
        str, typer.Option(help="The inbox_prefix of this account; best different for each account.")
    ] = "_INBOX",
    nsc: Annotated[bool, typer.Option("--nsc", help="Print options of `nsc add user`.")] = False,
    two: Annotated[
        bool, typer.Option("--accounts", help="Print all roles: workers in one account, the others in another one.")
    ] = False,
    commands: CommandList = None,
) -> None:
    """Print the least permissions that ROLE needs, or all roles with --accounts, as nats-server's configuration."""
    if (role is None) != two or (two and nsc):
        raise typer.BadParameter("give a role, with or without --nsc, or --accounts for all of them")
    if commands is not None and role not in (None, RoleName.worker):
        raise typer.BadParameter("only workers take commands", param_hint="--commands")
    sys.path.insert(0, str(Path.cwd()))
    try:
        options = Config(namespace=namespace, shards=shards, inbox_prefix=inbox_prefix)
        taken = () if commands is None else loading.command_list(commands)
    except (CallerError, UsageError) as error:
        raise typer.BadParameter(str(error)) from None
    names, prefix = names_of(options), options.inbox_prefix
    if role is None:
        typer.echo(accounts_command.as_two_accounts(names, inbox_prefix=prefix, commands=taken))
        return
    found = accounts_command.rights_of(role.value, names, inbox_prefix=prefix, commands=taken)
    typer.echo(accounts_command.as_nsc(found) if nsc else accounts_command.as_server_config(found))


@commands.command()
def config() -> None:
    """List every option of a runtime, with its unit and default."""
    from rich.console import Console
    from rich.table import Table

    table = Table("option", "meaning", "default")
    for name, text, default in Config.describe():
        table.add_row(name, text, repr(default))
    Console().print(table)


@commands.command()
def metrics(
    what: Annotated[MetricsFile, typer.Argument(help="The file to print.")],
    runbooks: Annotated[
        str, typer.Option(metavar="URL", help="Address of the page with the runbooks, for the links of alerts.")
    ] = monitoring.RUNBOOKS,
) -> None:
    """Print a dashboard for Grafana, or alert rules for Prometheus."""
    typer.echo(monitoring.dashboard() if what is MetricsFile.dashboard else monitoring.alerts(runbooks), nl=False)
