"""The example: one trace of one saga that failed over and crossed two services, as docs/tracing.md shows it."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from tests.docs.blocks import ROOT, blocks
from tests.servers import running_server

WITHIN = 120


async def test_a_trace_survives_kill_9_and_crosses_two_services(tmp_path: Path) -> None:
    with running_server(tmp_path / "nats") as server, trio.fail_after(WITHIN):
        command = [sys.executable, "examples/one_trace.py", server.url]
        ended = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr.decode()
    assert [ended.stdout.decode()] == blocks(ROOT / "docs" / "tracing.md", "text")
