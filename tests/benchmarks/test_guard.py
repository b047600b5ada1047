"""Tests of the guard: it compares ratios with the committed ones, and nothing else."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from benchmarks import guard
from benchmarks.__main__ import app


def test_the_committed_baseline_has_every_ratio() -> None:
    baseline = guard.read_baseline()
    assert set(baseline.ratios) == set(guard.RATIOS)
    assert all(value > 0 for value in baseline.ratios.values())


@pytest.mark.parametrize(
    ("share", "code", "word"), [(1.0, 0, "ok"), (0.5, 0, "ok"), (1.14, 0, "ok"), (1.16, 1, "LOST"), (1.25, 1, "LOST")]
)
def test_the_guard_fails_beyond_fifteen_percent_and_only_then(
    monkeypatch: pytest.MonkeyPatch, share: float, code: int, word: str
) -> None:
    found = dict(guard.read_baseline().ratios)
    found["saga"] *= share
    monkeypatch.setattr(guard, "measure", lambda **_: found)
    done = CliRunner().invoke(app, ["guard"])
    assert done.exit_code == code, done.output
    assert f"{word}: saga " in done.output


def test_a_loss_counts_when_it_is_measured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = dict(guard.read_baseline().ratios)
    for second, code in ((usual["saga"], 0), (2 * usual["saga"], 1)):
        answers = [usual | {"saga": 2 * usual["saga"]}, usual | {"saga": second}]
        monkeypatch.setattr(guard, "measure", lambda answers=answers, **_: answers.pop(0))
        assert CliRunner().invoke(app, ["guard"]).exit_code == code
        assert not answers


def test_a_planted_slowdown_costs_cpu_in_every_ratio_of_times() -> None:
    """The slowdown is so large that no noise hides it, even at a tiny size."""
    usual = guard.measure(pairs=1, sagas=20)
    planted = guard.measure(pairs=1, sagas=20, plant=20.0)
    assert set(usual) == set(planted) == set(guard.RATIOS)
    worse = {name for name in usual if planted[name] > 2 * usual[name]}
    assert worse == set(guard.RATIOS) - {"messages"}
