"""A visit to `sagakit web` without a network. A program of an environment that has nothing but the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

ELSEWHERE = "http://192.0.2.1/"
"""An address that is for documentation: where there is a network, a request to it gets no answer, but is sent."""
NATS = "nats://127.0.0.1:4222"
SAGAKIT = str(Path(sys.prefix) / "bin" / "sagakit")
PATIENCE = 120


class Assets(HTMLParser):
    """The addresses of assets that a page names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for _, value in attrs if value and "/assets/" in value}


def get(url: str) -> bytes:
    """Return what is at an address. Raises HTTPError, URLError."""
    with urlopen(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def fault(url: str) -> str:
    """Return why an address cannot be reached; an empty text if it can."""
    try:
        get(url)
    except URLError as error:
        return str(error)
    return ""


@contextmanager
def running(ready: str, *command: str) -> Iterator[re.Match[str]]:
    """Run a program, once it has said what fits a pattern."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield next(found for line in process.stderr if (found := re.search(ready, line)))
        finally:
            process.terminate()


def main(server: str, chromium: str, folder: str, *pages: str) -> None:
    """Get each page with its assets, and let a browser show it."""
    assert "unreachable" in fault(ELSEWHERE)
    with running("Server is ready", server, "-a", "127.0.0.1", "-p", "4222", "-js", "-sd", folder):
        subprocess.run([SAGAKIT, "setup", "--nats", NATS], check=True, timeout=PATIENCE)
        listening = r"the console is at (\S+);"
        with running(listening, SAGAKIT, "web", "--nats", NATS, "--listen", "127.0.0.1:0") as found:
            look(found[1], chromium, pages)


def look(site: str, chromium: str, pages: tuple[str, ...]) -> None:
    """Look at the pages of a console."""
    assets = {urljoin(site, one) for page in pages for one in Assets(get(site + page).decode()).found}
    assert {urlsplit(one).netloc for one in assets} == {urlsplit(site).netloc}
    for one in sorted(assets):
        print("asset", urlsplit(one).path, len(get(one)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    for page in pages:
        shown = subprocess.run(
            [chromium, *options, site + page], capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout
        assert "</html>" in shown
        print("page", page, len(shown), "with charts" if "<canvas" in shown else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
