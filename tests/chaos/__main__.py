"""Command `python -m tests.chaos`: one run, or several, each with a seed that is printed."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import trio
import typer
from rich.console import Console

from tests.chaos.plants import PLANTS
from tests.chaos.report import show
from tests.chaos.run import Options, Result, run
from tests.chaos.schedule import Only

LONGEST = 600.0
"""Seconds that a run may take in addition to its faults; then it is broken off."""

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    seed: Annotated[int | None, typer.Option(help="Replays a schedule of faults; made up by default.")] = None,
    seconds: Annotated[float, typer.Option(help="How long faults are made.")] = 120.0,
    sagas: Annotated[int, typer.Option(help="Sagas to start.")] = 2000,
    runs: Annotated[int, typer.Option(help="Runs, with one seed after the other.")] = 1,
    only: Annotated[Only, typer.Option(help="Whose faults; `servers` judges P12, too.")] = "all",
    plant: Annotated[str | None, typer.Option(help=f"A bug to run with: {', '.join(PLANTS)}.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where all is kept; by default a green run leaves nothing.")
    ] = None,
) -> None:
    """Run sagas under chaos, and print a verdict. Exit code 1 when a promise was broken."""
    first = random.randrange(10**6) if seed is None else seed
    console = Console(width=110)
    condemned = False
    for number in range(first, first + runs):
        console.print(f"seed {number}")
        keep = folder or Path(tempfile.mkdtemp(prefix="sagakit-chaos-"))
        where = keep / f"seed-{number}"
        result = trio.run(_stoppable, where, Options(seed=number, seconds=seconds, sagas=sagas, only=only, plant=plant))
        if result is None:
            sys.exit(2)
        show(result, console)
        (where / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)))
        condemned = condemned or result.verdict.condemned
        if folder is None and not result.verdict.condemned:
            shutil.rmtree(keep)
        else:
            console.print(f"what it left: {where}", markup=False)
    sys.exit(condemned)


async def _stoppable(folder: Path, options: Options) -> Result | None:
    """Run once. SIGTERM and SIGINT end the run in good order, with nothing left running."""
    result: Result | None = None
    with trio.move_on_after(LONGEST + options.seconds):
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    await anext(aiter(signals))
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop)
            result = await run(folder, options)
            nursery.cancel_scope.cancel()
    return result


app()
