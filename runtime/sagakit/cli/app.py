"""The command `sagakit` itself. Its commands are in other modules, which are imported when one of them is called."""

from __future__ import annotations

from typing import Annotated

import typer

from sagakit.cli.lazy_group import LazyGroup

app: typer.Typer = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, help="Sagas on NATS JetStream."
)


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
