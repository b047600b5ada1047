"""Tests of the peers, which are optional: a missing one is named with the line that helps, the others are measured."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.peers import bench
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.harness import FIGURES, Task, in_a_process
from benchmarks.plans import PLANS
from benchmarks.result import Result
from tests.benchmarks.test_benchmarks import documented

FAKE = Peer("Fake", "tests.benchmarks.fake_peer", "memory", "nothing is kept", "make it", ("trio",), 1_000, 10)
ABSENT = FAKE._replace(name="Absent", packages=("no-such-package",), install="pip install no-such-package")
HALF = FAKE._replace(name="Half", is_ready=lambda: None, install="apt-get install the-rest")


def test_a_missing_peer_is_named_with_its_install_line() -> None:
    assert FAKE.missing() == ""
    assert ABSENT.missing() == "Absent left out: no-such-package not found; pip install no-such-package"
    assert HALF.missing() == "Half left out: its server not found; apt-get install the-rest"


def test_each_peer_says_how_to_get_it_and_what_it_promises() -> None:
    for peer in PEERS:
        assert "install" in peer.install
        assert "fsync" in peer.settings


def test_the_work_is_counted_and_so_are_wrong_ends(tmp_path: Path) -> None:
    task = Task(store="memory", folder=str(tmp_path), sagas=9, inflight=4, singles=5)
    figures = in_a_process(FAKE.module, task)
    assert list(figures) == list(FIGURES)
    # the first refusal of the warm-up's three is wrong, and three of the load's nine
    assert figures["wrong"] == 4


def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    task = Task(store="broken", folder=str(tmp_path), sagas=9, inflight=4, singles=5)
    with pytest.raises(RuntimeError, match="the store is broken"):
        in_a_process(FAKE.module, task)


def test_the_peers_that_are_installed_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "PEERS", (FAKE, ABSENT))
    two = bench.Own("grouped", 20_000, workers=2, inflight=4)
    monkeypatch.setattr(bench, "OWN", (bench.Own("always", 20_000), two))
    file = tmp_path / "found.json"
    command = ["peers", "--runs", "1", "--here", "--scale", "0.001", "--json", str(file), "--plot", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    assert "pip install no-such-package" in done.output
    result = msgspec.json.decode(file.read_bytes(), type=Result)
    names = ["sagakit, always", "sagakit, grouped, 2 worker processes", "Fake"]
    assert [row.labels["peer"] for row in result.rows] == names
    assert all(list(row.median) == list(FIGURES) == documented("peers") for row in result.rows)
    assert result.surroundings["Fake"].endswith("nothing is kept")
    *own, fake = (row.median["sagas_per_s"] for row in result.rows)
    for name, rate in zip(names, own, strict=False):
        assert result.summary[f"sagas_per_s: {name} over Fake"] == pytest.approx(rate / fake)


def test_all_writes_json_pictures_and_one_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "PEERS", (FAKE,))
    monkeypatch.setattr(bench, "OWN", ())
    for name in set(PLANS) - {"single", "actors"}:
        monkeypatch.delitem(PLANS, name)
    command = ["all", str(tmp_path), "--runs", "1", "--here", "--scale", "0.001", "--sync", "relaxed"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    names = ("single", "actors", "peers")
    files = {f"{name}.{kind}" for name in names for kind in ("json", "png", "svg")} | {"figures.md"}
    assert {file.name for file in tmp_path.iterdir()} == files
    page = (tmp_path / "figures.md").read_text()
    assert re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) == list(names)
