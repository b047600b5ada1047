"""Signals by hand in a real Chromium: with scripts and without, live, on a phone, in the dark, with hostile values."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from sagakit import Client

from tests.client.faces import CLIENTS, worker
from tests.servers import Server
from tests.web.browser import PATIENCE, PHONE, chromium, console, visiting
from tests.web.test_browser import EVIL
from tests.web.test_signals import Decision, Lend

NAMESPACE = "signals"
IDS = ("looked-at", "with-scripts", "without", "filled", "refused", "evil")
expect.set_options(timeout=PATIENCE)


async def start_sagas(client: Client) -> None:
    for id in IDS:
        await client.start(Lend, id, 500, wait="started")
    await client.signal(Lend, "evil", Lend.decided, Decision(True, note=EVIL))


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[str]:
    """Run a worker with sagas that wait for signals, and the console over them, as a process."""
    with worker(server, NAMESPACE, Lend()):
        CLIENTS["asyncio"](server.url, start_sagas, namespace=NAMESPACE)
        with console(server, NAMESPACE) as address:
            yield address


@pytest.fixture(scope="module")
def browser(site: str) -> Iterator[Browser]:  # after the site, which runs asyncio in this thread before
    with chromium() as found:
        yield found


@pytest.mark.parametrize("path", ["/looked-at", "/looked-at/signals/decided", "/evil", "/evil/signals/decided"])
def test_a_form_has_no_serious_fault_for_anybody_in_both_themes_and_widths(
    path: str, browser: Browser, site: str
) -> None:
    with visiting(browser, site) as visit:
        visit.go(f"/sagas/Lend{path}")
        assert visit.page.locator("main img, main script").count() == 0
        found = visit.inaccessible()
        visit.page.emulate_media(color_scheme="dark")
        visit.page.set_viewport_size(PHONE)
        assert visit.overflow() <= 0
        assert found + visit.inaccessible() == []


@pytest.mark.parametrize("scripts", [True, False])
def test_a_saga_that_waits_is_found_and_gets_its_signals(scripts: bool, browser: Browser, site: str) -> None:
    with visiting(browser, site, scripts=scripts) as visit:
        page, main, id = visit.page, visit.page.locator("main"), "with-scripts" if scripts else "without"
        visit.go(f"/sagas/Lend/{id}")
        expect(main).to_contain_text("decided waits for its signal.")
        page.get_by_role("link", name="Send decided").click()
        expect(page).to_have_url(re.compile("#signals$"))
        form = page.locator("form").filter(has=page.get_by_role("button", name="signal decided"))
        form.get_by_label("granted").check()
        form.get_by_label("limit").fill("70")
        form.get_by_label("note").fill(EVIL)
        form.get_by_role("button").click()
        expect(page).not_to_have_url(re.compile("done="))  # the browser asks for the reason before it sends anything
        form.get_by_label("reason").fill("they called")
        form.get_by_role("button").click()
        page.wait_for_url("**?done=signal")
        expect(main).to_contain_text("signal: it is durable")
        expect(main).to_contain_text("decided has come already, and is taken once")
        expect(main).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("main img, main script").count() == 0
        expect(page.get_by_role("row").filter(has_text="they called").first).to_contain_text("signal decided")
        form = page.locator("form").filter(has=page.get_by_role("button", name="signal go"))
        form.get_by_label("reason").fill("all is well")
        form.get_by_role("button").click()
        page.wait_for_url("**?done=signal")
        if not scripts:
            visit.go(f"/sagas/Lend/{id}")
        expect(main.locator(".status").first).to_contain_text("completed")


def test_what_does_not_fit_is_told_by_its_field_and_the_rest_is_kept(browser: Browser, site: str) -> None:
    with visiting(browser, site) as visit:
        page = visit.page
        visit.go("/sagas/Lend/refused")
        form = page.locator("form").filter(has=page.get_by_role("button", name="signal decided"))
        form.get_by_label("limit").fill("seventy")
        form.get_by_label("note").fill(EVIL)
        form.get_by_label("reason").fill("they called")
        form.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_contain_text("limit: write a number, such as 7 or 1.5, not 'seventy'")
        visit.complaints.clear()  # the browser tells that the answer was 422
        assert visit.inaccessible() == []
        expect(page.get_by_label("note")).to_have_value(EVIL)
        page.get_by_label("limit").fill("70")
        page.get_by_role("button", name="signal decided").click()
        page.wait_for_url("**/sagas/Lend/refused?done=signal")


def test_a_form_that_somebody_has_begun_to_fill_in_stays_while_the_page_renews_itself(
    browser: Browser, site: str
) -> None:
    with visiting(browser, site) as visit:
        page, main = visit.page, visit.page.locator("main")
        visit.go("/sagas/Lend/filled")
        form = page.locator("form").filter(has=page.get_by_role("button", name="signal go"))
        form.get_by_label("reason").fill("all is well")
        page.locator("h1").click()  # nobody writes any more
        token = page.locator("input[name=token]").first.input_value()
        run = page.locator("input[name=run]").first.input_value()
        sent: dict[str, str | float | bool] = {
            "token": token,
            "run": run,
            "field.granted": "true",
            "field.limit": "7",
            "reason": "by a colleague",
        }
        answer = page.request.post(f"{site}/sagas/Lend/filled/signals/decided", form=sent)
        assert answer.ok, answer.text()
        expect(main).to_contain_text("decided has come already, and is taken once")
        expect(form.get_by_label("reason")).to_have_value("all is well")
        form.get_by_role("button").click()
        expect(main.locator(".status").first).to_contain_text("completed")
