"""Tests of all promises under chaos, within three minutes, and of two planted bugs that the judge must condemn.

The seed is printed; CHAOS_SEED replays one.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.bites import BITES, CAUGHT, bite
from tests.chaos.report import show
from tests.chaos.run import Options, Result, run

pytestmark = pytest.mark.long

SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
SETTLE = 120.0
"""Seconds within which all sagas end after the last fault. A busy machine takes longer than an idle one."""


async def shown(folder: Path, options: Options) -> Result:
    """Run it, and print the result: pytest shows that when the test fails."""
    print(f"CHAOS_SEED={options.seed}")
    result = await run(folder, options)
    show(result, Console(width=150))
    return result


async def test_p1_to_p10_under_chaos(tmp_path: Path) -> None:
    result = await shown(tmp_path / "run", Options(seed=SEED, seconds=60.0, sagas=260, settle=SETTLE))
    assert not result.verdict.condemned
    assert result.verdict.figures.adoptions, "no saga changed hands: the faults did not bite"
    assert result.verdict.figures.ended["completed"] > result.verdict.figures.sagas / 2
    assert result.verdict.figures.faults["clock"] > 5
    for log in (tmp_path / "run").glob("w?.log"):
        assert "wall clock is" in log.read_text(), "its clock was right"


async def test_p12_faults_of_servers_only_cost_nothing(tmp_path: Path) -> None:
    options = Options(seed=SEED, seconds=20.0, sagas=100, settle=SETTLE, only="servers")
    result = await shown(tmp_path / "run", options)
    assert not result.verdict.condemned
    assert result.verdict.figures.sagas == 100


@pytest.mark.parametrize(
    ("plant", "promise", "says"),
    [
        ("no-cas", "P7", "comes after|the end marker|an end marker"),
        ("no-adopt-write", "P1", "was called before, or without, a stored record that intends it|calls, . intended"),
    ],
    ids=["no-cas", "no-adopt-write"],
)
async def test_the_judge_condemns_a_planted_bug(plant: str, promise: str, says: str, tmp_path: Path) -> None:
    result = await shown(tmp_path / "run", bite(plant, plant))
    assert promise in result.verdict.broken
    found = [violation for violation in result.verdict.violations if violation.promise == promise]
    sagas = {violation.key for violation in found if re.search(says, violation.text)}
    assert len(sagas) >= CAUGHT, f"{promise} was broken, but not as the bug breaks it: {found}"


@pytest.mark.parametrize("schedule", BITES)
async def test_the_judge_acquits_the_runtime_on_the_same_schedule(schedule: str, tmp_path: Path) -> None:
    result = await shown(tmp_path / "run", bite(None, schedule))
    assert not result.verdict.condemned
    assert result.verdict.figures.adoptions >= CAUGHT, "no saga changed hands: the faults did not bite"
    if schedule == "no-cas":
        assert result.fenced >= CAUGHT, "the zombie wrote nothing that had to be refused: the pause did not bite"
