"""Command `python -m benchmarks NAME`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from benchmarks import guard, plots
from benchmarks.console import Load as Console
from benchmarks.modes import ENOUGH, ENOUGH_FSYNC
from benchmarks.open_pages import Beside
from benchmarks.peers import bench as peers_bench
from benchmarks.plans import PLANS, Plan, Syncs, console_plan, latency_plan, load_plan, visibility_plan
from benchmarks.report import console, markdown, plain, show, surroundings, title_of
from benchmarks.result import Figures, Labels, Result, take
from benchmarks.stored import Sizes
from benchmarks.throughput import Load
from benchmarks.visibility import FULL

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Figures as ratios to a floor of the same run.")

LOOKED_AT = Console()
SyncChoice = Literal["all", "both", "relaxed", "always", "grouped"]
SYNCS: dict[SyncChoice, Syncs] = {
    "all": ("relaxed", "always", "grouped"),
    "both": ("relaxed", "always"),
    "relaxed": ("relaxed",),
    "always": ("always",),
    "grouped": ("grouped",),
}

Runs = Annotated[int, typer.Option(min=1, help="Runs; each figure's median counts.")]
Sync = Annotated[
    SyncChoice,
    typer.Option(
        help="`relaxed` is the server's default; `always`: fsync before each ack; `grouped`: writes share that fsync "
        "(group_commit); `both`: the first two."
    ),
]
Scale = Annotated[float, typer.Option(min=0.0001, help="Size of the runs: 1 for figures, 0.01 to see it run.")]
Json = Annotated[Path | None, typer.Option(help="Write the figures to this file.")]
Plot = Annotated[Path | None, typer.Option(help="Write a PNG and an SVG into this folder.")]
Here = Annotated[bool, typer.Option(hidden=True, help="Measure in this process: for tests, which have no time.")]


def _take(plan: Plan, runs: int, here: bool) -> Result:
    def progress(run: int, labels: Labels, figures: Figures) -> None:
        name, value = next(iter(figures.items()))
        text = f"{plan.bench.name} run {run + 1} of {runs}, {title_of(labels)}: {name} {plain(value)}"
        console.print(text, style="dim", highlight=False)

    return take(
        plan.bench,
        plan.cases,
        title=f"{plan.title}; median of {runs}",
        runs=runs,
        surroundings=surroundings(),
        progress=progress,
        fresh=not here,
    )


def _finish(result: Result, json: Path | None, plot: Path | None) -> None:
    show(result)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    if plot is not None:
        try:
            plots.draw(result, plot)
        except ModuleNotFoundError as error:
            raise typer.BadParameter(f"{error}: plots need matplotlib: pip install 'sagakit[bench]'") from None


@app.command(help=PLANS["throughput"][0])
def throughput(
    sagas: Annotated[int, typer.Option(min=1, help="Sagas a run.")] = 10_000,
    steps: Annotated[int, typer.Option(min=1, help="Steps a saga.")] = 3,
    inflight: Annotated[
        int, typer.Option(min=0, help=f"Sagas in flight at once; 0: {ENOUGH}, or {ENOUGH_FSYNC} with fsync.")
    ] = 0,
    shards: Annotated[int, typer.Option(min=1, help="State buckets and event streams.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    runs: Runs = 3,
    sync: Sync = "all",
    json: Json = None,
    plot: Plot = None,
    here: Here = False,
) -> None:
    load = Load(sagas=sagas, steps=steps, inflight=inflight, shards=shards, workers=workers)
    _finish(_take(load_plan(load, SYNCS[sync]), runs, here), json, plot)


@app.command(help=PLANS["latency"][0])
def latency(
    rate: Annotated[float, typer.Option(min=0.0, help="Sagas a second; 0: 10, 50 and 80 % of the capacity.")] = 0.0,
    scale: Scale = 1.0,
    runs: Runs = 3,
    sync: Sync = "all",
    json: Json = None,
    plot: Plot = None,
    here: Here = False,
) -> None:
    _finish(_take(latency_plan(scale, SYNCS[sync], rate), runs, here), json, plot)


@app.command(help=PLANS["visibility"][0])
def visibility(
    live: Annotated[int, typer.Option(min=1, help="Live sagas.")] = FULL.live,
    archived: Annotated[int, typer.Option(min=1, help="Archived sagas.")] = FULL.archived,
    events: Annotated[int, typer.Option(min=1, help="Events in the log.")] = FULL.events,
    scale: Scale = 1.0,
    runs: Runs = 1,
    sync: Sync = "relaxed",
    json: Json = None,
    plot: Plot = None,
    here: Here = False,
) -> None:
    sizes = Sizes(*(max(1, int(size * scale)) for size in (live, archived, events)))
    _finish(_take(visibility_plan(sizes), runs, here), json, plot)


@app.command("console", help=PLANS["console"][0])
def console_command(
    live: Annotated[int, typer.Option(min=1, help="Live sagas.")] = LOOKED_AT.live,
    archived: Annotated[int, typer.Option(min=1, help="Archived sagas.")] = LOOKED_AT.archived,
    loads: Annotated[int, typer.Option(min=1, help="Loads of each page; the median counts.")] = LOOKED_AT.loads,
    pages: Annotated[int, typer.Option(min=1, help="Pages that stay open.")] = LOOKED_AT.beside.pages,
    rate: Annotated[float, typer.Option(min=1, help="Sagas a second beside them.")] = LOOKED_AT.beside.rate,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of loads with the pages and without.")] = (
        LOOKED_AT.beside.pairs
    ),
    scale: Scale = 1.0,
    runs: Runs = 1,
    sync: Sync = "relaxed",
    json: Json = None,
    plot: Plot = None,
    here: Here = False,
) -> None:
    beside = Beside(pages=pages, rate=rate, pairs=pairs)
    load = Console(live=live, archived=archived, loads=loads, beside=beside)
    _finish(_take(console_plan(load.scaled(scale)), runs, here), json, plot)


def _command(make: Callable[[float, Syncs], Plan]) -> Callable[..., None]:
    def command(
        runs: Runs = 3,
        sync: Sync = "all",
        scale: Scale = 1.0,
        json: Json = None,
        plot: Plot = None,
        here: Here = False,
    ) -> None:
        _finish(_take(make(scale, SYNCS[sync]), runs, here), json, plot)

    return command


for name, (about, make) in PLANS.items():
    if name not in ("throughput", "latency", "visibility", "console"):
        app.command(name, help=about)(_command(make))


@app.command()
def peers(
    runs: Runs = 3,
    sync: Sync = "all",
    scale: Scale = 1.0,
    only: Annotated[list[str] | None, typer.Option(help="Peers by the start of their names; again for more.")] = None,
    json: Json = None,
    plot: Plot = None,
    here: Here = False,
) -> None:
    """Compare with the same work on DBOS, Restate and Edda, as far as they are installed."""
    _finish(_take_peers(runs, SYNCS[sync], scale, here, only), json, plot)


def _take_peers(runs: int, syncs: Syncs, scale: float, here: bool, only: list[str] | None = None) -> Result:
    for line in peers_bench.absent():
        console.print(line, style="yellow", highlight=False, markup=False)
    chosen = [peer for peer in peers_bench.available() if only is None or peer.name.startswith(tuple(only))]
    plan = Plan(peers_bench.BENCH, peers_bench.cases(scale, syncs, peers=chosen), "the same work with others")
    found = _take(plan, runs, here)
    found.surroundings.update(peers_bench.settings())
    return found


@app.command("guard")
def guard_command(
    write: Annotated[bool, typer.Option("--write", help="Make what is found the baseline.")] = False,
    plant: Annotated[float, typer.Option(min=0.0, max=5.0, help="Plant a slowdown: 0.25 for 25 %.")] = 0.0,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs; the median counts.")] = guard.PAIRS,
) -> None:
    """Compare ratios of CPU with the committed ones. Exit code 1 when one is more than 15 % worse."""
    found = guard.measure(pairs=pairs, plant=plant)
    if write:
        around = surroundings()
        guard.write_baseline(found, f"{around['machine']}, Python {around['python']}, {around['packages']}")
    verdicts = guard.judge(found, guard.read_baseline())
    if any(verdict.lost for verdict in verdicts):
        console.print("a loss; measured once more, the better of the two counts", style="dim")
        again = guard.measure(pairs=pairs, plant=plant)
        verdicts = guard.judge({name: min(found[name], again[name]) for name in found}, guard.read_baseline())
    for verdict in verdicts:
        word = "LOST" if verdict.lost else "ok"
        text = f"{word}: {verdict.name} {plain(verdict.found)}, baseline {plain(verdict.baseline)}"
        console.print(f"{text}, {verdict.change:+.1%} ({guard.RATIOS[verdict.name]})", highlight=False)
    if any(verdict.lost for verdict in verdicts):
        raise typer.Exit(1)


@app.command("all")
def everything(
    folder: Annotated[Path, typer.Argument(help="Where JSON, pictures and `figures.md` go.")] = Path("figures"),
    runs: Runs = 5,
    sync: Sync = "all",
    scale: Scale = 1.0,
    here: Here = False,
) -> None:
    """Run everything, and write JSON, pictures and one page of tables."""
    results = []
    for name, (_, make) in PLANS.items():
        results.append(_take(make(scale, SYNCS[sync]), runs, here))
        _finish(results[-1], folder / f"{name}.json", folder)
        (folder / "figures.md").write_text(markdown(results))
    results.append(_take_peers(runs, SYNCS[sync], scale, here))
    _finish(results[-1], folder / "peers.json", folder)
    (folder / "figures.md").write_text(markdown(results))


if __name__ == "__main__":
    app()
