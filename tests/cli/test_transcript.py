"""The transcript of docs/operators.md: hundreds of orders that an outage has left stuck, mended by commands alone.

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
from tests.cli.outage import DOWN
from tests.cli.processes import ROOT, SAGAKIT
from tests.servers import running_server

pytestmark = pytest.mark.long

HEADING = "## A payment provider was away: how do I find and mend hundreds of sagas?"
LOOKING = re.compile(r"sagakit (groups|list|count|jobs)\b")
"""Commands that change nothing: they are run again until the sagas are as far as the page has them."""
VARYING = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}|order-\d+|[\d,]+[smhd]?\b")
PATIENCE = 90.0


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of the page, each with the lines that it prints."""
    page = (ROOT / "docs" / "operators.md").read_text()
    section = page.partition(HEADING)[2].partition("\n## ")[0]
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def plain(lines: list[str], user: str) -> list[str]:
    """Return lines without what differs from run to run."""
    return [" ".join(VARYING.sub("N", re.sub(rf"\b{user}\b", "USER", line)).split()) for line in lines]


@contextmanager
def orders_in_an_outage(url: str, books: Path) -> Iterator[None]:
    books.mkdir()
    (books / DOWN).touch()
    command = [sys.executable, "-m", "tests.cli.outage", url, str(books)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        try:
            assert ChildLines(worker).next() == b"settled\n"
            yield
        finally:
            worker.kill()


def test_an_outage_is_found_mended_and_audited_as_the_page_says(tmp_path: Path) -> None:
    books = tmp_path / "books"
    with running_server(tmp_path / "server") as server, orders_in_an_outage(server.url, books):
        given = {"SAGAKIT_NATS_URL": server.url, "BOOKS": str(books), "LOGNAME": "tester", "COLUMNS": "200"}
        given["PATH"] = os.pathsep.join([str(Path(SAGAKIT).parent), os.environ["PATH"]])
        seen: list[str] = []
        for command, expected in commands():
            if "retry" in command:
                (books / DOWN).unlink()
            until = time.monotonic() + PATIENCE
            while True:
                done = subprocess.run(
                    ["bash", "-c", command], cwd=ROOT, env=os.environ | given, capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
                found = (done.stdout + done.stderr).splitlines()
                if plain(found, "tester") == plain(expected, "ann"):
                    break
                assert LOOKING.match(command), (command, found)
                assert time.monotonic() < until, (command, found)
            seen += found
        assert seen[-1] == "books balance"
        assert seen[-9].startswith("500 of 500 orders have ended, ")
