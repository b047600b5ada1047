"""`python -m benchmarks NAME`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import msgspec
import trio
import typer

from benchmarks import throughput as throughput_bench
from benchmarks import waiting as waiting_bench
from benchmarks.report import console, show, surroundings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Figures as ratios to a floor of the same run.")

NOTE = (
    "steps do nothing, so this is the cost of sagakit and of the server alone; server and worker share one machine; "
    "one stream, one node, loopback. Timings are noisy: compare ratios, not seconds."
)


WAITING_NOTE = (
    "the growth of the worker's resident memory from the sagas at rest before to those after, so allocator slack "
    "counts; the server's own memory and disk do not. When more are due than a worker can wake, they are late."
)


@app.callback()
def benchmarks() -> None:
    """Keeps `throughput` a command of its own."""


@app.command()
def throughput(
    sagas: Annotated[int, typer.Option(help="Sagas a run.")] = 10_000,
    steps: Annotated[int, typer.Option(help="Steps a saga.")] = 3,
    inflight: Annotated[int, typer.Option(help="Sagas in flight at once.")] = 500,
    runs: Annotated[int, typer.Option(help="Runs; each figure's median counts.")] = 3,
    shards: Annotated[int, typer.Option(help="State buckets and event streams.")] = 1,
    sync: Annotated[str, typer.Option(help="`relaxed` (the server's default) or `always`.")] = "relaxed",
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Sagas a second in one worker process, all durable."""
    if sync not in ("relaxed", "always"):
        raise typer.BadParameter("sync is `relaxed` or `always`")
    chosen: Literal["always", "relaxed"] = "always" if sync == "always" else "relaxed"
    measure = partial(throughput_bench.measure, sagas=sagas, steps=steps, inflight=inflight, sync=chosen, shards=shards)
    found = [msgspec.structs.asdict(trio.run(measure)) for _ in range(runs)]
    figures = {name: median(run[name] for run in found) for name in found[0]}
    around = surroundings(sync)
    for name, value in around.items():
        console.print(f"{name}: {value}", highlight=False)
    show(f"{sagas} sagas of {steps} steps, {inflight} in flight, median of {runs}", figures, note=NOTE)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode({**figures, "surroundings": around, "runs": found})))


@app.command()
def waiting(
    sagas: Annotated[int, typer.Option(help="Sagas that wait on a timer at once.")] = 100_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Bytes of worker memory a waiting saga, and whether all wake in order."""
    figures = msgspec.structs.asdict(trio.run(partial(waiting_bench.measure, sagas=sagas)))
    around = surroundings("relaxed")
    for name, value in around.items():
        console.print(f"{name}: {value}", highlight=False)
    show(f"{sagas} sagas on a timer, due {waiting_bench.SPACING * 1000:g} ms apart", figures, note=WAITING_NOTE)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode({**figures, "surroundings": around})))


if __name__ == "__main__":
    app()
