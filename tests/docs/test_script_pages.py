"""The programs of docs/scripts.md and docs/notebooks.md do what their pages say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sagakit
from sagakit import Completed
from sagakit.errors import WrongContext
from sagakit.testing import simulate

from tests.client.faces import worker
from tests.docs.blocks import ROOT, blocks
from tests.docs.cells import in_notebook, run_cells
from tests.servers import Server

SCRIPTS = ROOT / "docs" / "scripts.md"
NOTEBOOKS = ROOT / "docs" / "notebooks.md"
WITHIN = 60
"""Seconds in which a program or a notebook of these pages has to end."""


def test_a_script_pays_each_invoice_once_however_often_it_runs(tmp_path: Path) -> None:
    (program,), (expected,) = blocks(SCRIPTS, "python"), blocks(SCRIPTS, "text")
    (tmp_path / "pay.py").write_text(program)
    command = [sys.executable, "-W", "error", "pay.py"]
    done = [
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=WITHIN)
        for _ in range(2)
    ]
    assert [(run.returncode, run.stderr) for run in done] == [(1, ""), (1, "")]
    called = {"booked A-1", "booked A-2", "booked back A-2"}
    assert {*done[0].stdout.splitlines()} == called | {*expected.splitlines()}
    assert done[1].stdout == expected


def test_the_cells_of_a_notebook_show_the_sagas_of_a_worker(server: Server, namespace: str) -> None:
    *looking, close, definition, _ = blocks(NOTEBOOKS, "python")
    looking[0] = looking[0].replace('"nats://localhost"', f'"{server.url}", namespace="{namespace}"')
    before = [definition.partition("\n\nstack = ")[0], "greet = Greet()"]
    start = 'await (await client.start("Greet", "ann", "Ann")).outcome()'

    async def notebook() -> list[Any]:
        defined = await asyncio.wait_for(run_cells([*before, "greet"], "defining"), WITHIN)
        with worker(server, namespace, defined[-1]):
            cells = [looking[0], start, *looking[1:], close]
            return await asyncio.wait_for(run_cells(cells, "looking"), WITHIN)

    _, outcome, listed, events, closed = in_notebook(notebook())
    assert outcome == Completed("hello Ann")
    assert listed == [("Greet.ann", "completed")]
    assert events == ["saga.Greet.started", "saga.Greet.step.write", "saga.Greet.completed"]
    assert closed is None


def test_a_saga_is_tried_out_in_the_cells_of_a_notebook() -> None:
    *_, close, definition, execute = blocks(NOTEBOOKS, "python")

    async def notebook() -> list[Any]:
        again = [definition, execute, close]
        return await asyncio.wait_for(run_cells([*again, *again], "trying"), WITHIN)

    assert in_notebook(notebook()) == 2 * [None, Completed("hello Ann"), None]


def test_a_notebook_is_told_what_to_use_in_place_of_run_and_simulates_in_a_thread() -> None:
    definition = blocks(NOTEBOOKS, "python")[-2].partition("\n\nstack = ")[0]

    async def notebook() -> None:
        (_, greet) = await run_cells([definition, "Greet()"], "refused")
        with pytest.raises(WrongContext, match=r"sagakit\.asyncio\.open_runtime"):
            sagakit.run(greet, None, "Ann")
        trace = await asyncio.wait_for(asyncio.to_thread(simulate, greet, "Ann"), WITHIN)
        assert trace.outcome == Completed("hello Ann")

    in_notebook(notebook())
