"""The services of examples/services: killed one after the other while orders run, their books balance."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.participant.javascript import copied

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDERS = 60
MORTAL = ["stock", "payments", "shipping", "worker-1", "worker-2", "front", "server"]
WITHIN = 780
"""Seconds for the whole run, which itself gives up before. It takes one minute, half of it idle, on two idle cores."""


def copy_of_the_examples(folder: Path) -> Path:
    """Copy the example, with the packages of its JavaScript service, and return the folder in which it runs."""
    examples = folder / "examples"
    shutil.copytree(EXAMPLES / "services", examples / "services", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLES / "__init__.py", examples)
    copied(examples)
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the example, and return its exit code and what it has printed. No process of it is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.services", *arguments],
        cwd=folder, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = process.communicate(timeout=WITHIN)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, printed


@pytest.mark.long
@pytest.mark.timeout(WITHIN + 60)
def test_each_process_is_killed_while_orders_run_and_the_books_balance(tmp_path: Path) -> None:
    folder = copy_of_the_examples(tmp_path)
    code, printed = run(folder, "--orders", str(ORDERS), "--kill")
    assert code == 0, printed
    lines = printed.splitlines()
    assert [line.split()[2] for line in lines if line.startswith("kill -9")] == MORTAL
    assert lines[-1] == "books balance"
    assert any(line.startswith(f"{ORDERS} orders by HTTP") for line in lines)
    for end in ("completed", "card_refused", "not_served", "out_of_stock"):
        assert end in printed
    assert sorted(path.name for path in folder.iterdir()) == ["examples"], "a run whose books balance leaves nothing"
