"""The console in a process of its own, and plain requests to it."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.servers import process, wait_until

READY = 60.0
"""Seconds until the console has to be there."""
ANSWER = 60.0
"""Seconds that an answer may take."""
DETAIL = re.compile(r"<pre>(.*?)</pre>", re.DOTALL)
LISTENS = re.compile(r"the console is at (\S+);")


class Console(NamedTuple):
    """A running console: its address and its process."""

    address: str
    pid: int


class Answer(NamedTuple):
    """An answer: its text, its tag, the milliseconds until it was there."""

    text: str
    tag: str
    ms: float


@contextmanager
def console(url: str) -> Iterator[Console]:
    """Run `sagakit web` over a server for an admin, until the context is left. Raises RuntimeError."""
    command = [sys.executable, "-m", "sagakit", "web", "--nats", url, "--listen", "127.0.0.1:0", "--role", "admin"]
    with tempfile.TemporaryDirectory(prefix="sagakit-bench-") as folder:
        log = Path(folder) / "web.log"
        with process(command, log=log) as running:
            wait_until(lambda: LISTENS.search(log.read_text()) is not None, running, READY)
            found = LISTENS.search(log.read_text())
            assert found is not None
            yield Console(found[1], running.pid)


@contextmanager
def visitor(address: str) -> Iterator[HTTPConnection]:
    """Open a connection to a console."""
    with closing(HTTPConnection(urlsplit(address).netloc, timeout=ANSWER)) as http:
        yield http


class Refused(Exception):
    """An answer that is an error."""


def ask(http: HTTPConnection, path: str, tag: str = "", *, age: int = 0) -> Answer:
    """Ask for a page. If it is the one with this tag, the text is empty.

    With an `age` this is a renewal, as the script of the console asks for it: so many seconds old it may be. Raises
    Refused.
    """
    headers = ({"If-None-Match": tag} if tag else {}) | ({"Cache-Control": f"max-age={age}"} if age else {})
    began = time.perf_counter()
    http.request("GET", path, headers=headers)
    answer = http.getresponse()
    text = answer.read().decode()
    if answer.status not in (200, 304):
        raise Refused(f"{path}: {answer.status} {DETAIL.findall(text) or text}")
    return Answer(text, answer.headers.get("ETag", ""), 1e3 * (time.perf_counter() - began))
