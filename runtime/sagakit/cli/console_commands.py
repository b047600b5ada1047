"""The commands that serve the console: web, and dev for one developer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sagakit.cli.command_options import (
    CONNECTION,
    ConfigFile,
    LogFormat,
    LogFormatName,
    LogLevel,
    LogLevelName,
    Nats,
    PayloadCodecName,
    RankName,
    SagaList,
    packages_checked,
    with_options,
)

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


@commands.command()
@with_options(CONNECTION)
def web(
    nats: Nats = "",
    config: ConfigFile = None,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            callback=packages_checked("web"),
            help="The address. Other hosts than loopback take --tokens or --proxy-header; port 0 picks one.",
        ),
    ] = "127.0.0.1:8470",
    role: Annotated[
        RankName, typer.Option(help="The role of everyone without --tokens, and of a proxy's visitors.")
    ] = RankName.viewer,
    tokens: Annotated[str | None, typer.Option(metavar="FILE", help="Lines NAME ROLE TOKEN: who may come.")] = None,
    proxy_header: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The header in which a proxy names the visitor."),
    ] = None,
    proxy_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK", help="A network of that proxy, or with --tokens of any before it; may be repeated."
        ),
    ] = None,
    proxy_role_header: Annotated[
        str | None, typer.Option(metavar="NAME", help="The header in which that proxy says the role.")
    ] = None,
    reads_per_second: Annotated[float, typer.Option(help="Requests of one visitor that look; inf for no limit.")] = 200,
    acts_per_second: Annotated[float, typer.Option(help="Requests of one visitor that change something.")] = 100,
    failed_logins_per_minute: Annotated[
        float, typer.Option(help="Wrong tokens from one address; then none from there is looked at for a while.")
    ] = 10,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Fields whose values nobody sees: password, card.number; may be repeated. Else SAGAKIT_REDACT.",
        ),
    ] = None,
    payload_codec: PayloadCodecName = None,
    log_format: LogFormatName = LogFormat.text,
    log_level: LogLevelName = LogLevel.info,
    *,
    options: dict[str, Any],
) -> None:
    """Serve the console and the HTTP API until SIGTERM or SIGINT.

    A viewer looks. An operator also starts sagas, and gives them signals and verbs. An admin also terminates sagas, and
    deletes dead letters.
    """
    from sagakit.cli import console_process, logs  # they need the extra `web`

    logs.set_up(log_format.value, log_level.value)
    call = console_process.ConsoleCall(
        url=nats,
        listen=listen,
        config=config,
        options=options,
        role=role.value,
        tokens=tokens,
        proxy_header=proxy_header,
        proxy_from=proxy_from or (),
        proxy_role_header=proxy_role_header,
        rates={
            "reads_per_second": reads_per_second,
            "acts_per_second": acts_per_second,
            "failed_logins_per_minute": failed_logins_per_minute,
        },
        redact=redact or (),
        payload_codec=payload_codec,
    )
    raise typer.Exit(console_process.run(call))


@commands.command()
def dev(
    sagas: SagaList,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            callback=packages_checked("worker", "web", "embedded"),
            help="The address of the console, on loopback; port 0 picks one.",
        ),
    ] = "127.0.0.1:8470",
    folder: Annotated[Path, typer.Option(help="The folder for the data of the server.")] = Path(".sagakit"),
    reset: Annotated[
        bool, typer.Option("--reset", help="Begin with no sagas: remove what the server has stored.")
    ] = False,
    payload_codec: PayloadCodecName = None,
    log_level: LogLevelName = LogLevel.info,
) -> None:
    """Run a server, a worker and the console while you write sagas. The worker restarts when a file changes.

    The console is for everyone on this machine, as an admin. Nothing here survives a power cut for certain.
    """
    from sagakit.cli import dev_process, logs

    logs.set_up(LogFormat.text.value, log_level.value)
    call = dev_process.DevCall(sagas=sagas, folder=folder, listen=listen, reset=reset, payload_codec=payload_codec)
    raise typer.Exit(dev_process.run(call))
