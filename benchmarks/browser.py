"""A real Chromium, for pages that are measured or tested."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """Return the path of Chromium."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "Chromium is missing, in which the pages of the console are tested: install the package `chromium` "
        "(`apt-get install chromium`; .ci/install does that)"
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser. Nothing else of asyncio may run in this thread meanwhile: Playwright has its loop there."""
    with ExitStack() as stack:
        # once trio-asyncio is imported, asyncio makes loops that Playwright's greenlets cannot use
        with patch.object(asyncio, "new_event_loop", asyncio.SelectorEventLoop):
            playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=find_chromium())
        stack.callback(browser.close)
        yield browser
