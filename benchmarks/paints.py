"""First paints of pages of the console in a real Chromium, and how long the server's answers alone take."""

from __future__ import annotations

from statistics import median
from urllib.parse import quote

from playwright.sync_api import Browser

from benchmarks.browser import chromium
from benchmarks.result import Figures
from benchmarks.servers import Servers, cpu_of
from benchmarks.web import Console, ask, visitor

PAGES = {
    "overview": "/",
    "sagas": "/sagas",
    "completed": f"/sagas?where={quote('status = completed')}",
    "floor": "/time-zone",
}
"""The pages by the names of their figures. The floor is a page that reads no sagas."""
FIRST_PAINT = """
new Promise((done, fail) => {
  setTimeout(() => fail(new Error("nothing was painted in 60 s")), 60_000);
  new PerformanceObserver((list, self) => {
    for (const one of list.getEntriesByName("first-contentful-paint")) done(one.startTime);
  }).observe({ type: "paint", buffered: true });
})
"""


def paints(shown: Console, running: Servers, loads: int) -> Figures:
    """Load each page so many times, in turn with the others, and return the medians in milliseconds."""
    figures = {}
    with visitor(shown.address) as http, chromium() as browser:
        for name, path in PAGES.items():
            ask(http, path)  # once, so that templates and modules are loaded
            cpu = cpu_of(shown.pid) + running.cpu()
            figures[f"{name}_answer_ms"] = median(ask(http, path).ms for _ in range(loads))
            figures[f"{name}_cpu_ms"] = 1e3 * (cpu_of(shown.pid) + running.cpu() - cpu) / loads
        rounds = [
            {name: _first_paint(browser, shown.address + path) for name, path in PAGES.items()} for _ in range(loads)
        ]
    for name in PAGES:
        figures[f"{name}_paint_ms"] = median(one[name] for one in rounds)
    return figures


def _first_paint(browser: Browser, url: str) -> float:
    """Return the milliseconds from the navigation to the first contentful paint, with an empty cache."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        return float(page.evaluate(FIRST_PAINT))
    finally:
        context.close()
