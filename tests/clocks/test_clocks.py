"""Tests with wall clocks that are hours apart and jump, on a real server (P6, P10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clocks import keeping, late
from tests.servers import Server

EARLY, LATE = 0.3, 60.0
"""Seconds by which a time may be late.

A machine with other tests is late in everything; a wrong clock means 3,600 s.
"""


async def test_times_are_kept_by_workers_whose_clocks_are_hours_apart_and_jump(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    report = await keeping.run(tmp_path, server.url, namespace)
    assert report.wrong == []
    assert [one for one in report.kept if not -EARLY <= one.late <= LATE] == []


@pytest.mark.parametrize("ahead", [keeping.HOUR, -keeping.HOUR], ids=["ahead", "behind"])
async def test_p10_an_id_that_ran_while_a_create_was_held_on_the_wire_runs_once(
    ahead: float, server: Server, namespace: str
) -> None:
    report = await late.run(server, namespace, ahead=ahead)
    assert report.right, report
