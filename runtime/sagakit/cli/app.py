"""The command `sagakit` itself. Its commands are in other modules, which are imported when one of them is called."""

from __future__ import annotations

from typing import Annotated

import typer

from sagakit.cli.lazy_group import LazyGroup

HELP: str = """Sagas on NATS JetStream.

To begin: `init` makes a project that runs, and `dev` runs it while you write. To look after sagas: `groups` says which
are stuck and why, `describe` shows one of them, `retry` lets them go on. `COMMAND --help` explains a command.
"""
app: typer.Typer = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, help=HELP)


def _print_version(wanted: bool) -> None:
    if wanted:
        from sagakit.release import __version__  # reading it takes time

        typer.echo(f"sagakit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sagas on NATS JetStream."""
