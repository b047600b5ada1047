"""The console in a real Chromium: an operator's way from many sagas to those that are mended, and who can read it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sagakit import Client
from sagakit.web.rendering import visible

from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import Server
from tests.web.browser import PATIENCE, PHONE, chromium, console, visiting
from tests.web.test_api import HOSTILE
from tests.web.test_pages import url

MANY = 60
"""Sagas that are started: every tenth breaks, and waits for a person."""
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e</pre>\"'"
NAMESPACE = "browser"

pytestmark = pytest.mark.usefixtures("broken_bank")
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def broken_bank() -> Iterator[None]:
    Buy.broken = True
    yield
    Buy.broken = True


async def start_sagas(client: Client) -> None:
    for number in range(MANY):
        await client.start(Buy, f"order-{number}", Order(number, breaks=number % 10 == 9))
    for id in HOSTILE:
        await client.start(Buy, id, Order(asks=True, note=EVIL), attributes={"<b>": EVIL})
    for id in ("waits", "watched"):
        await client.start(Buy, id, Order(asks=True), wait="step:reserve")
    for number in range(9, MANY, 10):
        await (await client.get(Buy, f"order-{number}")).wait(or_stuck=True)


@pytest.fixture(scope="module")
def site(server: Server, broken_bank: None) -> Iterator[str]:
    """Run a worker with many sagas, and the console over them, as a process."""
    with worker(server, NAMESPACE):
        CLIENTS["asyncio"](server.url, start_sagas, namespace=NAMESPACE)
        with console(server, NAMESPACE) as address:
            yield address


@pytest.fixture(scope="module")
def browser(site: str) -> Iterator[Browser]:  # after the site, which runs asyncio in this thread before
    with chromium() as found:
        yield found


LIST = "/sagas?where=type+%3D+Buy&column=status&column=deadline&column=error&column=attributes.%3Cb%3E"
UNDO = "/sagas/act?verb=compensate&where=status+%3D+stuck"
PAGES = [
    "/", "/stuck", LIST, UNDO, url("order-9"), url("order-9", "?at=2"), url("waits"),
    "/definitions", "/definitions/Buy", "/definitions/Buy/start", "/workers", "/audit", "/jobs", "/dead-letters",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_serious_fault_for_anybody_in_both_themes_and_widths(
    path: str, browser: Browser, site: str
) -> None:
    with visiting(browser, site) as visit:
        visit.go(path)
        if path == "/":
            expect(visit.page.locator("#charts canvas")).to_have_count(4)  # they come after the first paint
        found = visit.inaccessible()
        visit.page.emulate_media(color_scheme="dark")
        visit.page.set_viewport_size(PHONE)
        assert visit.overflow() <= 0
        assert found + visit.inaccessible() == []


WIDER = """([names, long]) => {
    const list = document.querySelector("#diagram ol");
    for (const name of names) {
        const one = list.children[1].cloneNode(true);
        one.dataset.name = name;
        if (long) one.dataset.after = list.lastElementChild.dataset.name;
        list.append(one);
    }
    drawDiagram(document, room());
    const figure = document.querySelector("#diagram");
    return [figure.scrollWidth > figure.clientWidth, list.clientHeight > 100];
}"""
"""Adds nodes to a diagram, side by side or one after another. Tells whether it scrolls sideways and shows its list."""


def test_a_diagram_fits_a_phone_or_has_its_list_above_it(browser: Browser, site: str) -> None:
    with visiting(browser, site) as visit:
        visit.page.set_viewport_size(PHONE)
        visit.go("/definitions/Buy")
        assert visit.page.evaluate(WIDER, [["insured", "labelled"], False]) == [False, False]
        assert visit.page.evaluate(WIDER, [[f"beside_{one}" for one in range(9)], False]) == [False, False]
        assert visit.page.evaluate(WIDER, [[f"later_{one}" for one in range(9)], True]) == [True, True]
        assert visit.overflow() <= 0
        assert visit.inaccessible() == []


def test_hostile_texts_run_nothing_and_can_be_read(browser: Browser, site: str) -> None:
    with visiting(browser, site) as visit:
        page = visit.page
        for id in HOSTILE:
            visit.go(url(id))
            expect(page.locator("h1")).to_contain_text(visible(id))
            expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
            assert page.locator("main img, main script").count() == 0
        visit.go("/sagas")
        for id in HOSTILE:
            expect(page.get_by_role("link", name=visible(id), exact=True)).to_be_visible()
        assert page.locator("main img, main script").count() == 0


def test_with_scripts_off_everything_can_be_read(browser: Browser, site: str) -> None:
    with visiting(browser, site, scripts=False) as visit:
        page = visit.page
        visit.go("/")
        page.get_by_text("As a table").click()
        expect(page.get_by_role("row").filter(has_text="this minute")).to_be_visible()
        page.get_by_role("navigation").get_by_role("link", name="Sagas").click()
        page.get_by_label("Filter").fill("type = Buy and status = running and id = waits")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_role("contentinfo")).to_contain_text("sagakit list --where 'type = Buy and status")
        page.get_by_text("Columns").click()
        page.get_by_role("checkbox", name="age").check()
        page.get_by_role("checkbox", name="error").uncheck()
        page.get_by_role("button", name="Show these").click()
        page.wait_for_url("**&column=at&column=age&column=changed")
        page.get_by_role("link", name="waits", exact=True).click()
        expect(page.locator("main")).to_contain_text("approved waits for its signal.")
        expect(page.locator("#diagram li")).to_contain_text(["reserve done", "approved awaiting", "charge pending"])
        expect(page.locator("table.axis rect.do")).to_have_count(1)
        page.get_by_role("link", name="step back through them").click()
        page.get_by_role("link", name="First", exact=True).click()
        expect(page.locator("#diagram li")).to_contain_text(["reserve pending", "approved pending", "charge pending"])
        page.get_by_role("link", name="Forward", exact=True).click()
        expect(page.locator("#diagram li")).to_contain_text(["reserve done", "approved pending", "charge pending"])
        page.get_by_role("link", name="as it is now").click()
        page.get_by_text("As it is stored").click()
        expect(page.locator("#record pre")).to_contain_text("definition_version")


def test_an_operator_watches_one_saga_finds_the_stuck_and_mends_their_group(browser: Browser, site: str) -> None:
    with visiting(browser, site) as visit:
        page, main = visit.page, visit.page.locator("main")
        visit.go("/")
        chart = page.locator("#charts figure").filter(has_text="started")
        expect(chart).to_contain_text(re.compile(r"^[\d,]+ started at \d\d:\d\d$"))
        expect(page.locator("#charts canvas")).to_have_count(4)
        expect(page.get_by_role("row").filter(has_text="this minute")).to_be_hidden()
        page.evaluate("window.canvas = document.querySelector('#charts canvas')")
        page.evaluate("refresh()")
        assert page.evaluate("window.canvas.isConnected"), "the charts were taken away"
        visit.go(url("watched"))
        expect(main).to_contain_text("approved waits for its signal.")
        node = page.locator("#diagram svg .node")
        expect(node).to_contain_text(["reserve", "waits for its signal", "charge"])
        page.evaluate("window.kept = true")
        answer = httpx.post(f"{site}/api/sagas/Buy/watched/signals/approved", json={"payload": "ann"}, timeout=60)
        assert answer.status_code == 200, answer.text
        expect(main.locator(".status").first).to_contain_text("completed")
        expect(page.locator("#diagram svg .node.completed")).to_have_count(3)
        assert page.evaluate("window.kept"), "the page was loaded again"

        page.get_by_role("navigation").get_by_role("link", name="Sagas").click()
        page.wait_for_url("**/sagas")  # until it is loaded: before, nobody hears the key
        page.keyboard.press("/")
        page.keyboard.type("status = stuck")
        page.keyboard.press("Enter")
        expect(main.locator("tbody tr")).to_have_count(MANY // 10)

        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="copy").click()
        expect(page.get_by_role("button", name="copied")).to_be_visible()
        command = page.evaluate("navigator.clipboard.readText()")
        assert command == f"sagakit list --where 'status = stuck' --namespace {NAMESPACE}"
        page.get_by_role("navigation").get_by_role("link", name="Stuck").click()
        page.get_by_role("link", name="retry").click()
        expect(main).to_contain_text(f"called again: charge in {MANY // 10} sagas")
        assert visit.inaccessible() == []
        Buy.broken = False
        page.get_by_label("Reason").fill("the bank is back")
        page.get_by_role("button", name=f"retry {MANY // 10}").click()
        expect(page).to_have_url(re.compile("/jobs/"))
        expect(main).to_contain_text("the bank is back")
        assert visit.inaccessible() == []

        page.get_by_role("link", name="order-9", exact=True).click()
        expect(main.locator(".status").first).to_contain_text("completed")
        expect(main).to_contain_text("operator.retry")
        expect(main).to_contain_text("the bank is back")
        visit.go(url("order-9", "?at=2"))
        node = page.locator("#diagram svg .node")
        for key, number in (("ArrowLeft", "1"), ("ArrowRight", "2")):
            page.keyboard.press(key)
            page.wait_for_url(f"**?at={number}")  # until it is loaded: before, nobody hears the next key
        expect(node).to_contain_text(["done", "pending", "pending"])
        page.get_by_label("Event").fill("1")
        expect(page).to_have_url(re.compile("at=1$"))
        visit.go("/stuck")
        expect(main).to_contain_text("No saga is stuck.")

        page.keyboard.press("g")
        page.keyboard.press("u")
        page.wait_for_url("**/audit")
        expect(main.locator("tbody tr")).to_have_count(MANY // 10)
        expect(main.locator("tbody tr").first).to_contain_text("the bank is back")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        assert visit.inaccessible() == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
