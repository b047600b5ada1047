"""Tests of the suite itself: it runs on each face."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_test_of_the_clients_methods_runs_on_both_clients_and_on_a_runtime() -> None:
    """The runtime for asyncio is compared with the other one, member by member."""
    command = [sys.executable, "-m", "tests.client.counts", "tests/client/test_client_api.py", "tests/test_faces.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    lines = [line.strip().partition(" ") for line in done.stdout.splitlines()]
    found = {face: int(number) for number, _, face in lines}
    methods, members = found["sagakit.open_client"], found["sagakit.asyncio.open_runtime"]
    assert methods == found["sagakit.asyncio.open_client"] > 10
    assert members > 50
    assert found["sagakit.open_runtime"] == methods + members
