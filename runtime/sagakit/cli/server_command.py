"""The command server: a NATS server with JetStream for the programs of this machine."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import Annotated

import typer

from sagakit.cli.command_options import LogFormat, LogFormatName, LogLevel, LogLevelName
from sagakit.cli.exits import CommandExit, failed

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
_log = getLogger("sagakit.server")


@commands.command()
def server(
    folder: Annotated[Path, typer.Option(help="The folder for what the server stores.")] = Path(".sagakit"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port on the loopback; 0 takes the one before, or a free one.")
    ] = 4222,
    relaxed: Annotated[
        bool, typer.Option("--relaxed", help="Be faster, and do not survive a power cut for certain.")
    ] = False,
    log_format: LogFormatName = LogFormat.text,
    log_level: LogLevelName = LogLevel.info,
) -> None:
    """Run a NATS server for this machine until SIGTERM or SIGINT.

    It listens on the loopback only, and asks nobody for a password: for a laptop or a test. The server program is that
    of the extra `embedded`, or the one on PATH. It is started again when it ends.
    """
    from sagakit.cli import logs

    logs.set_up(log_format.value, log_level.value)
    raise typer.Exit(_run(folder, port or None, relaxed=relaxed))


def _run(folder: Path, port: int | None, *, relaxed: bool) -> CommandExit:
    """Run the server until a signal comes, and return the exit code. Errors go to the log."""
    import trio

    from sagakit.cli.stop import stop_signals
    from sagakit.client.bare_errors import bare_errors
    from sagakit.jetstream.embedded import embedded_server

    stores_in = folder.absolute()

    async def serve() -> None:
        with trio.CancelScope() as until_stopped:
            signalled.then(until_stopped.cancel)
            async with embedded_server(folder, sync="relaxed" if relaxed else "always", port=port) as url:
                _log.info("NATS is at %s; it stores in %s", url, stores_in, extra={"url": url})
                await trio.sleep_forever()

    with stop_signals() as signalled:
        try:
            with bare_errors():
                trio.run(serve)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error, _log)
    return CommandExit.DRAINED
