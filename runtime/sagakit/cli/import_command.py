"""The command import: copies exported sagas into an embedded server, to look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.printing import note
from sagakit.cli.session import Session, Work, in_session
from sagakit.jetstream.address import OWN, scheme_of

if TYPE_CHECKING:
    from sagakit.client.by_key import PlainAccess

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


@commands.command("import")
@in_session()
def import_(
    session: Session,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Files that `sagakit export` has written: sagas, and steps and events."),
    ],
) -> None:
    """Copy exported sagas into an embedded server, to look at them. The copies are stuck: nothing of them moves."""

    def prepared() -> Work:
        from sagakit.cli.changing import name_of
        from sagakit.cli.import_rows import ExportedRows
        from sagakit.cli.standard_input import lines_within

        if scheme_of(session.url) not in OWN:
            raise UsageError("import copies sagas into an embedded server: --nats embedded:FOLDER")
        by, rows = name_of(None), ExportedRows()
        for name in files:
            try:
                with open(name, "rb") as file:
                    rows.read(name, lines_within(file, name))
            except OSError as error:
                raise UsageError(f"{name}: {error.strerror}") from None

        async def work(access: PlainAccess) -> int:
            copies = list(rows.copies(now=access.now(), by=by))
            stored = [copy for copy in copies if await access.store_copy(copy.record, copy.events)]
            note(f"{len(stored):,} sagas imported, as stuck copies; {len(copies) - len(stored):,} were there already")
            return 0 if len(stored) == len(copies) else CommandExit.NOT_APPLIED

        return work

    session.run(prepared)
