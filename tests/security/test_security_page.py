"""The commands and the configurations of docs/security.md work as they are written, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sagakit.jetstream.server_process import find_server

from tests.cli.processes import SAGAKIT
from tests.docs.blocks import ROOT, blocks
from tests.docs.printed import outputs
from tests.servers import running_server

PAGE = ROOT / "docs" / "security.md"
WITHIN = 60
"""Seconds in which the worker has to be up."""
SHOP = "from sagakit import Saga, signal\nclass Wait(Saga[str]):\n    go = signal(str)\nsagas = [Wait()]\n"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the files of the page, and the environment of its commands and of its server."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(SAGAKIT).parent), os.environ["PATH"]]))
    for role in ("setup", "worker", "participant", "client", "operator", "reader"):
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", f"{role}-1")
        monkeypatch.setenv(f"SAGAKIT_{role.upper()}_PASSWORD", f"{role}-1")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "worker.py").write_text(SHOP)
    return tmp_path


def test_a_server_with_the_roles_of_the_page_takes_setup_and_worker(shell: Path) -> None:
    grants, started, _ = blocks(PAGE, "console")
    (config,) = blocks(PAGE, "conf")
    for command in outputs(grants):
        subprocess.run(["bash", "-c", command], cwd=shell, check=True, timeout=WITHIN)
    config = config.replace("jetstream {}", f'jetstream {{ store_dir: "{shell / "js"}" }}')
    with running_server(shell, config=config, jetstream=None) as server:
        export, setup, worker = outputs(started)
        there = export.replace("nats://localhost", server.url)
        subprocess.run(["bash", "-c", f"{there}; {setup}"], cwd=shell, check=True, timeout=WITHIN)
        with (shell / "worker.log").open("wb") as log:
            popen = subprocess.Popen(
                ["bash", "-c", f"{there}; {worker}"], cwd=shell, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until = time.monotonic() + WITHIN
            while "is up" not in (said := (shell / "worker.log").read_text()):
                assert popen.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.05)  # another process says it
        finally:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()


def test_nats_server_reads_the_two_accounts_of_the_page(shell: Path) -> None:
    *_, accounts = blocks(PAGE, "console")
    for command in outputs(accounts):
        subprocess.run(["bash", "-c", command], cwd=shell, check=True, timeout=WITHIN)
    check = [find_server(), "-t", "-c", "nats.conf"]
    done = subprocess.run(check, cwd=shell, capture_output=True, text=True, check=False, timeout=WITHIN)
    assert "is valid" in done.stderr
    assert "shop_CLIENTS" in (shell / "nats.conf").read_text()
