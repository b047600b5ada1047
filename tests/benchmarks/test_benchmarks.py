"""Tests of the benchmarks: each runs to its end at a tiny size, and writes the keys that the README documents.

No time is asserted.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks import cost, latency, loops, unanswered, variants
from benchmarks.__main__ import app
from benchmarks.plans import PLANS
from benchmarks.plots import PAINTERS, draw
from benchmarks.report import markdown
from benchmarks.result import Result, Row, paired

pytestmark = pytest.mark.long

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep only the ends of each curve, which are enough to see it run."""
    monkeypatch.setattr(latency, "LOADS", (50,))
    monkeypatch.setattr(cost, "INFLIGHT", (1, 10))
    monkeypatch.setattr(unanswered, "SIZES", (100_000,))
    monkeypatch.setattr(variants, "LIVE", (1_000,))
    monkeypatch.setattr(variants, "STEPS", (3, 30))
    monkeypatch.setattr(variants, "SHARDS", {1: (1, 2), 3: (1,)})
    monkeypatch.setattr(variants, "WORKERS", (2,))
    monkeypatch.setattr(variants, "CROWDS", (10,))


def run(name: str, file: Path, *options: str) -> Result:
    """Run one benchmark through the command line, in this process, so that the whole file takes seconds."""
    done = CliRunner().invoke(app, [name, "--runs", "1", "--here", "--json", str(file), *options])
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return msgspec.json.decode(file.read_bytes(), type=Result)


def documented(name: str) -> list[str]:
    """Return the keys that the README lists for one benchmark, or for the one whose keys it shares."""
    found = re.search(rf"^\| `{name}` \| .* \| (.*) \|$", README.read_text(), flags=re.MULTILINE)
    assert found is not None, f"the README does not list the keys of {name}"
    keys = re.findall(r"`(\w+)`", found[1])
    return documented(keys[0]) if found[1].startswith("as ") else keys


EXPECTED = {
    "latency": [{"sync": "relaxed", "load_percent": 50}],
    "single": [{"sync": "relaxed"}],
    "cost": [{"sync": "relaxed", "inflight": inflight} for inflight in (1, 10)],
    "compensation": [{"sync": "relaxed"}],
    "fanout": [{"sync": "relaxed"}],
    "waiting": [{"sync": "relaxed", "waiting": 20}, {"sync": "relaxed", "waiting": 100}],
    "remote": [{"sync": "relaxed"}],
    "intake": [{"sync": "relaxed"}],
    "unanswered": [{"waiting": 100}],
    "client": [
        {"face": face, "waiting": number, "sync": "relaxed"} for number in (1, 20) for face in ("asyncio", "trio")
    ],
    "recovery": [{"sync": "relaxed"}],
    "growth": [
        {"live": 1, "sync": "relaxed"},
        *({"steps": steps, "sync": "relaxed"} for steps in (3, 30)),
    ],
    "shards": [
        *({"sync": "relaxed", "replicas": 1, "shards": shards} for shards in (1, 2)),
        {"sync": "relaxed", "replicas": 3, "shards": 1},
    ],
    "groups": [{"sync": "relaxed", "inflight": 10, "group_commit": option} for option in ("off", "on")],
    "fleet": [{"sync": "relaxed", "workers": 2, "shards": 1}],
    "commands": [{"sagas": 20}],
    "console": [{"live": 100, "archived": 1_000, "pages": 5}],
    "visibility": [
        {"live": 100, "archived": 100},
        {"live": 100, "archived": 100},
        {"live": 100, "archived": 1_000},
    ],
    "actors": [{"messages": 50, "idle": 50}],
    **(
        {"loops": [{"sync": "relaxed", "inflight": 500}, {"sync": "relaxed", "inflight": 1}]} if loops.AVAILABLE else {}
    ),
}


def test_every_benchmark_is_tried_here() -> None:
    assert set(EXPECTED) | {"throughput", "durability"} == set(PLANS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_benchmark_runs_to_its_end_and_writes_its_documented_keys(name: str, tmp_path: Path) -> None:
    result = run(name, tmp_path / "found.json", "--scale", "0.001", "--sync", "relaxed")
    assert [row.labels for row in result.rows] == EXPECTED[name]
    for row in result.rows:
        assert list(row.median) == list(result.figures) == documented(name)
        assert row.runs == [row.median]


def test_throughput_takes_two_workers_and_each_durability(tmp_path: Path) -> None:
    options = ("--workers", "2", "--sagas", "30", "--inflight", "10", "--shards", "2")
    result = run("throughput", tmp_path / "found.json", *options)
    assert [row.labels for row in result.rows] == [{"sync": "relaxed"}, {"sync": "always"}, {"sync": "grouped"}]
    assert all(list(row.median) == list(result.figures) == documented("throughput") for row in result.rows)
    relaxed, always, grouped = result.rows
    assert paired(always, relaxed, "messages_per_saga") == pytest.approx(1.0, rel=0.2)
    assert result.summary["sagas_per_s_grouped_over_always"] == paired(grouped, always, "sagas_per_s")


def test_a_grouped_run_has_fewer_acknowledgments_than_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "INFLIGHT", (200,))
    always, grouped = (
        run("cost", tmp_path / f"{sync}.json", "--scale", "0.3", "--sync", sync).rows[0].median
        for sync in ("always", "grouped")
    )
    stored = sum(always[f"{name}_messages_per_saga"] for name in cost.STORED)
    assert always["answers_per_saga"] > 0.9 * stored
    assert grouped["answers_per_saga"] < 0.5 * stored


def test_a_cluster_keeps_three_copies_and_is_compared_with_one_node(tmp_path: Path) -> None:
    result = run("durability", tmp_path / "found.json", "--scale", "0.001", "--sync", "always")
    assert [row.labels for row in result.rows] == [{"sync": "always", "replicas": nodes} for nodes in (1, 3)]
    one, three = (row.median["sagas_per_s"] for row in result.rows)
    assert result.summary == {"sagas_per_s_always_R3_over_always_R1": pytest.approx(three / one)}
    assert list(result.figures) == documented("durability")


def test_pictures_and_tables_show_the_measurements(tmp_path: Path) -> None:
    result = run("single", tmp_path / "found.json", "--scale", "0.001", "--plot", str(tmp_path / "pictures"))
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == {"single.png", "single.svg"}
    page = markdown([result])
    assert all(f"| {name} |" in page for name in result.figures)
    assert result.not_shown in page


@pytest.mark.parametrize("name", sorted({"durability", *PAINTERS} & set(PLANS)))
def test_every_result_can_be_drawn(name: str, tmp_path: Path) -> None:
    """The figures are made up: a picture needs no measurement."""
    _, make = PLANS[name]
    plan = make(0.001, ("relaxed", "always"))
    figures = {key: float(number + 1) for number, key in enumerate(plan.bench.figures)}
    result = Result(
        bench=name,
        title=plan.title,
        taken_at="",
        surroundings={},
        figures=dict(plan.bench.figures),
        rows=[Row(labels=case.labels, median=figures, runs=[figures]) for case in plan.cases],
        not_shown="",
    )
    for file in draw(result, tmp_path):
        assert file.stat().st_size > 5_000
