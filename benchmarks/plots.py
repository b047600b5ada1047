"""Pictures of results, as PNG and SVG. Needs matplotlib: `pip install 'sagakit[bench]'`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from benchmarks.modes import Mode
from benchmarks.report import title_of
from benchmarks.result import Result, Row

COLORS = {"relaxed": "#2a6f97", "always": "#d97a1d", "grouped": "#5a9367", "floor": "#9a9a9a"}
OTHERS = ("#2a6f97", "#d97a1d", "#5a9367", "#8d5a97", "#9a9a9a")
SIZES = {"peers": (12.0, 4.5), "actors": (11.0, 5.5)}
SIZE = (9.0, 4.5)


def draw(result: Result, folder: Path) -> list[Path]:
    """Write `NAME.png` and `NAME.svg`. Raises ModuleNotFoundError without matplotlib."""
    pyplot: Any = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    figure = pyplot.figure(figsize=SIZES.get(result.bench, SIZE), layout="constrained")
    PAINTERS.get(result.bench, _rates)(result, figure)
    figure.suptitle(result.title, fontsize=11)
    files = [folder / f"{result.bench}.{kind}" for kind in ("png", "svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return files


def _pyplot() -> Any:
    import_module("matplotlib").use("Agg")
    return import_module("matplotlib.pyplot")


def _sync(row: Row) -> str:
    return str(row.labels.get("sync", "relaxed"))


def _bars(axes: Any, names: Sequence[str], values: Sequence[float], colors: Sequence[str], unit: str) -> None:
    """Draw horizontal bars, each with its value."""
    places = range(len(names))
    bars = axes.barh(list(places), list(values), color=list(colors))
    axes.bar_label(bars, labels=[f" {value:,.0f}" if value >= 100 else f" {value:.3g}" for value in values], fontsize=9)
    axes.set_yticks(list(places), list(names))
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    axes.set_xlabel(unit)
    axes.margins(x=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _rates(result: Result, figure: Any) -> None:
    """Draw sagas a second, and the ratio to the floor."""
    left, right = figure.subplots(1, 2, sharey=True)
    names = [title_of(row.labels) for row in result.rows]
    colors = [COLORS[_sync(row)] for row in result.rows]
    _bars(left, names, [row.median["sagas_per_s"] for row in result.rows], colors, "sagas a second")
    _bars(right, names, [row.median["ratio_to_floor"] for row in result.rows], colors, "messages, times the floor")
    right.axvline(1.0, color=COLORS["floor"], linestyle="--")
    right.tick_params(labelleft=False)


def _lines(
    axes: Any, rows: Sequence[Row], x: str, figures: dict[str, str], *, per: str | None = None, log: bool = False
) -> None:
    """Draw one line for each durability and figure; `per`: divided by this label."""
    for sync in get_args(Mode):
        some = [row for row in rows if _sync(row) == sync]
        for figure, style in figures.items() if some else ():
            values = [row.median[figure] / (int(row.labels[per]) if per else 1) for row in some]
            name = f"{sync}, {figure}" if len(figures) > 1 else sync
            axes.plot([row.labels[x] for row in some], values, style, color=COLORS[sync], label=name, marker="o")
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="y", which="minor", labelsize=7)
    else:
        axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)


def _latency(result: Result, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    for axes, head, what in ((left, "", "start to outcome"), (right, "step_", "step to step")):
        styles = {f"{head}p50_ms": "-", f"{head}p99_ms": "--", f"{head}p999_ms": ":"}
        _lines(axes, result.rows, "load_percent", styles, log=True)
        axes.set_xlabel("load, percent of capacity")
        axes.set_ylabel(f"{what}, ms")


def _growth(result: Result, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    live = [row for row in result.rows if "live" in row.labels]
    steps = [row for row in result.rows if "steps" in row.labels]
    styles = {"cpu_us_per_saga": "-", "server_cpu_us_per_saga": ":"}
    _lines(left, live, "live", styles)
    left.set_xlabel("live sagas that wait")
    left.set_ylabel("CPU microseconds a saga of 3 steps")
    _lines(right, steps, "steps", styles, per="steps")
    right.set_xlabel("steps a saga")
    right.set_ylabel("CPU microseconds a step")
    for axes in (left, right):
        axes.set_xscale("log")


def _shards(result: Result, figure: Any) -> None:
    axes = figure.subplots()
    for replicas, style in ((1, "-"), (3, "--")):
        for sync in ("relaxed", "always"):
            some = [row for row in result.rows if _sync(row) == sync and row.labels["replicas"] == replicas]
            xs = [int(row.labels["shards"]) for row in some]
            ys = [row.median["sagas_per_s"] for row in some]
            axes.plot(xs, ys, style, color=COLORS[sync], marker="o", label=f"{sync}, R{replicas}")
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("shards")
    axes.set_ylabel("sagas a second")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9)


def _pairs(figures: Sequence[tuple[str, str, str]], unit: str) -> Callable[[Result, Any], None]:
    """Return a painter of a bar for each of some figures in each row: figure, its name, color or `sync`."""

    def paint(result: Result, figure: Any) -> None:
        found = [
            (f"{title_of(row.labels)}: {name}", row.median[key], COLORS[_sync(row) if color == "sync" else color])
            for row in result.rows
            for key, name, color in figures
        ]
        names, values, colors = zip(*found, strict=True)
        _bars(figure.subplots(), names, values, colors, unit)

    return paint


def _actors(result: Result, figure: Any) -> None:
    figures = result.rows[0].median
    groups = {
        "microseconds a message": ("tell_us", "channel_us", "pykka_tell_us"),
        "microseconds a question": ("ask_us", "ask_unbounded_us", "round_trip_us", "pykka_ask_us"),
        "microseconds a start": ("spawn_us", "spawn_reactor_us", "spawn_task_us", "pykka_spawn_us"),
        "bytes an idle one": ("actor_bytes", "reactor_bytes", "task_bytes", "pykka_actor_bytes"),
    }
    for axes, (unit, names) in zip(figure.subplots(2, 2).flat, groups.items(), strict=True):
        _bars(axes, names, [figures[name] for name in names], [_kind(name) for name in names], unit)
        axes.tick_params(labelsize=8)


def _kind(name: str) -> str:
    if name.startswith("pykka"):
        return OTHERS[3]
    return COLORS["floor"] if name in ("channel_us", "round_trip_us", "spawn_task_us", "task_bytes") else OTHERS[0]


def _peers(result: Result, figure: Any) -> None:
    left, middle, right = figure.subplots(1, 3, sharey=True)
    names = [title_of(row.labels) for row in result.rows]
    colors = [OTHERS[0] if str(row.labels["peer"]).startswith("sagakit") else COLORS["floor"] for row in result.rows]
    for axes, key, unit in (
        (left, "sagas_per_s", "sagas a second"),
        (middle, "refused_per_s", "refused and undone, a second"),
        (right, "single_p50_ms", "one at a time, ms"),
    ):
        _bars(axes, names, [row.median[key] for row in result.rows], colors, f"{unit} (log)")
        axes.set_xscale("log")
        axes.margins(x=0.35)
        axes.tick_params(labelsize=8)


PAINTERS: dict[str, Callable[[Result, Any], None]] = {
    "latency": _latency,
    "growth": _growth,
    "shards": _shards,
    "single": _pairs((("p50_ms", "saga", "sync"), ("writes_p50_ms", "four writes", "floor")), "milliseconds, median"),
    "waiting": _pairs((("rss_bytes_per_waiting_saga", "", "sync"),), "bytes of the worker a waiting saga"),
    "remote": _pairs((("sagas_per_s", "remote", "sync"), ("local_sagas_per_s", "local", "floor")), "sagas a second"),
    "intake": _pairs(
        (("sagas_per_s", "by command", "sync"), ("direct_sagas_per_s", "by start", "floor")), "sagas a second"
    ),
    "unanswered": _pairs(
        (("rss_bytes_per_saga", "worker's memory", "relaxed"), ("stored_bytes_per_saga", "in streams", "floor")),
        "bytes a saga that waits for a reply",
    ),
    "recovery": _pairs(
        (
            ("first_resumed_s", "first resumed", "sync"),
            ("p50_resumed_s", "half resumed", "sync"),
            ("last_resumed_s", "last resumed", "sync"),
            ("all_ended_s", "all ended", "sync"),
        ),
        "seconds from the word that the worker is dead",
    ),
    "actors": _actors,
    "peers": _peers,
}
"""Painters of the benchmarks whose picture differs from that of `throughput`."""
