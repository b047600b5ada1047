"""A real Chromium that visits a console, and what it complains of: errors, broken rules, requests to other hosts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, ViewportSize

from benchmarks.browser import chromium as chromium
from tests.cli.processes import SAGAKIT, said
from tests.servers import Server

PATIENCE = 60_000
"""Milliseconds that a page gets for what it is to show. Only a page that never shows it uses them up."""
DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
"""axe-core, the checker of accessibility: the script of npm's package, in a wheel."""


@contextmanager
def console(server: Server, namespace: str) -> Iterator[str]:
    """Run `sagakit web` for an admin, and yield its address."""
    command = [SAGAKIT, "web", "--nats", server.url, "--namespace", namespace, "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*command, "--role", "admin"], stderr=subprocess.PIPE, text=True) as process:
        try:
            line = said(process, "the console is at")
            found = re.search(r"the console is at (\S+);", line)
            assert found is not None, line
            yield found[1]
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


class Visit:
    """A page that a visitor looks at. `complaints` are the errors that the browser has told of so far."""

    def __init__(self, context: BrowserContext, console: str) -> None:
        self._console = console
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("dialog", lambda dialog: self._complain(f"a dialog: {dialog.message}"))
        self.page.on("request", self._see)

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):  # such as a violation of the content security policy
            self._complain(said.text)

    def _see(self, asked: Request) -> None:
        if not asked.url.startswith(f"{self._console}/"):
            self._complain(f"a request to {asked.url}")

    def go(self, path: str) -> None:
        """Load a page of the console."""
        self.page.goto(self._console + path)

    def inaccessible(self) -> list[str]:
        """Return the serious findings of axe-core about the page as it is."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def overflow(self) -> int:
        """Return the pixels by which the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width


@contextmanager
def visiting(browser: Browser, console: str, *, scripts: bool = True) -> Iterator[Visit]:
    """Let somebody visit the console with a fresh profile. Leaving checks that the browser has had no complaint."""
    context = browser.new_context(viewport=DESK, java_script_enabled=scripts)
    try:
        visit = Visit(context, console)
        yield visit
        assert visit.complaints == [], visit.complaints
    finally:
        context.close()
