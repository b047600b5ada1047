"""The transcripts of docs/operators.md: orders that an outage has left stuck, mended by commands alone.

Each command of the page is run as it is printed. Its output is the one of the page, but for numbers, times and ids.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child_lines import ChildLines
from tests.cli import carrier, outage
from tests.cli.processes import ROOT, SAGAKIT
from tests.docs.blocks import blocks
from tests.docs.printed import fits, outputs
from tests.servers import running_server

PAGE = ROOT / "docs" / "operators.md"
LOOKING = re.compile(r"sagakit (groups|list|count|jobs|history)\b")
"""Commands that change nothing: they are run again until the sagas are as far as the page has them."""
QUESTION = "go ahead? [y/N]: y\n"
PATIENCE = 90.0


@contextmanager
def orders_in_an_outage(module: str, url: str, books: Path, down: str) -> Iterator[None]:
    books.mkdir()
    (books / down).touch()
    command = [sys.executable, "-m", module, url, str(books)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        try:
            assert ChildLines(worker).next() == b"settled\n"
            yield
        finally:
            worker.kill()


def said(command: str, given: dict[str, str]) -> str:
    """Return what a command of the page prints. There is no terminal here, so none that asks."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=os.environ | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "down", "shown"),
    [(carrier, carrier.DOWN, slice(0, 3)), (outage, outage.DOWN, slice(3, 6))],
    ids=["a few", "hundreds"],
)
def test_an_outage_is_found_mended_and_audited_as_the_page_says(
    module: object, down: str, shown: slice, tmp_path: Path
) -> None:
    books, name = tmp_path / "books", getattr(module, "__name__")  # noqa: B009  # a module
    with running_server(tmp_path / "server") as server, orders_in_an_outage(name, server.url, books, down):
        given = {"SAGAKIT_NATS_URL": server.url, "BOOKS": str(books), "LOGNAME": "ann", "COLUMNS": "200"}
        given["PATH"] = os.pathsep.join([str(Path(SAGAKIT).parent), os.environ["PATH"]])
        told = {command: text for block in blocks(PAGE, "console")[shown] for command, text in outputs(block).items()}
        for command, expected in told.items():
            if command.startswith("export "):
                continue
            if "sagakit retry" in command:
                (books / down).unlink()
            asked = QUESTION in expected
            until = time.monotonic() + PATIENCE
            while not fits(expected.replace(QUESTION, ""), found := said(command + " --yes" * asked, given)):
                assert LOOKING.match(command), (command, found)
                assert time.monotonic() < until, (command, found)
