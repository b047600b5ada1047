"""`sagakit web` from its wheel, in an environment of its own, on a machine without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from sagakit.jetstream.server_process import find_server

from benchmarks.browser import find_chromium

ROOT = Path(__file__).parents[2]
PAGES = ("/", "/stuck", "/sagas", "/dead-letters", "/definitions", "/workers", "/audit", "/jobs", "/time-zone")
PREPARED = 600
"""Seconds that building and installing may take."""


def installed(folder: Path) -> Path:
    """Build the wheel, install it with the extra `web` into an empty environment, and return its Python."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=PREPARED)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", f"{wheel}[web]"]
    subprocess.run(install, check=True, capture_output=True, timeout=PREPARED)
    return python


@pytest.mark.long
def test_the_console_runs_from_its_wheel_alone_and_without_a_network(tmp_path: Path) -> None:
    """The kernel gives the visit a network of its own that has a loopback: a request to another host would fail."""
    python, program = installed(tmp_path), Path(__file__).with_name("offline.py")
    visit = [str(python), str(program), find_server(), find_chromium(), str(tmp_path / "data"), *PAGES]
    alone = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
    done = subprocess.run(
        [*alone, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *visit],
        capture_output=True, text=True, timeout=PREPARED, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\npage ") == len(PAGES)
    assert "with charts" in done.stdout, "its scripts run"
    assert "asset /assets/idiomorph.min.js" in done.stdout
