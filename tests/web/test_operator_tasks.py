"""Five tasks of an operator who has never seen the console, by clicks and keys in a real Chromium, over 300 sagas.

Each begins at the overview. What stood in the way of somebody who tried them is gone: see docs/console.md.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from sagakit import Client

from tests.client.faces import CLIENTS, Buy, Elsewhere, Order, worker
from tests.servers import Server
from tests.web.browser import PATIENCE, chromium, console, visiting

SAGAS = 300
NAMESPACE = "tasks"
expect.set_options(timeout=PATIENCE)


async def start_sagas(client: Client) -> None:
    """Start sagas: every tenth from 2 on gets stuck, the seventh is cancelled while it waits, three go on waiting."""
    for number in range(SAGAS):
        await client.start(Buy, f"order-{number}", Order(number, asks=number == 7, breaks=number % 10 == 2))
    for number in range(3):
        await client.start(Buy, f"waits-{number}", Order(asks=True))
    seventh = await client.get(Buy, "order-7")
    await seventh.cancel("the customer called", by="eve")
    for number in (7, *range(2, SAGAS, 10)):
        await (await client.get(Buy, f"order-{number}")).wait(or_stuck=True)


def test_five_tasks_are_done_without_a_manual(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Buy, "broken", True)
    with (
        worker(server, NAMESPACE, Buy(), worker_name="till"),
        worker(server, NAMESPACE, Elsewhere(), worker_name="idle"),
    ):
        CLIENTS["asyncio"](server.url, start_sagas, namespace=NAMESPACE)
        with console(server, NAMESPACE) as site, chromium() as browser, visiting(browser, site) as visit:
            page, main = visit.page, visit.page.locator("main")
            links = page.get_by_role("navigation").get_by_role("link", name="Sagas")

            # find why order 42 is stuck
            visit.go("/")
            links.click()
            page.get_by_label("Filter").fill("order-42")
            page.keyboard.press("Enter")
            expect(main).to_contain_text("Stuck: charge: blocked, RuntimeError('the bank is down')")
            assert visit.inaccessible() == []

            # mend all of that kind
            Buy.broken = False
            page.get_by_role("link", name="retry", exact=True).click()
            expect(main).to_contain_text(f"called again: charge in {SAGAS // 10} sagas")
            page.get_by_label("Reason").fill("the bank is back")
            page.get_by_role("button", name=f"retry {SAGAS // 10}").click()
            expect(main).to_contain_text(f"{SAGAS // 10}accepted")
            page.get_by_role("navigation").get_by_role("link", name="Stuck").click()
            expect(main).to_contain_text("No saga is stuck.")

            # say who cancelled order 7
            links.click()
            page.get_by_label("Filter").fill("order-7")
            page.keyboard.press("Enter")
            expect(page.get_by_role("row", name="eve cancel")).to_contain_text("the customer called")
            page.get_by_role("navigation").get_by_role("link", name="Audit").click()
            expect(page.get_by_role("row", name="eve cancel")).to_contain_text("order-7")

            # start one by hand
            links.click()
            page.get_by_role("link", name="start one").click()
            page.get_by_role("link", name="Buy", exact=True).click()
            page.get_by_role("link", name=re.compile("tart")).click()
            page.get_by_label("id empty for a new one").fill("by-hand")
            page.get_by_role("button", name="Start").click()
            page.wait_for_url("**/sagas/Buy/by-hand")
            expect(main.locator(".status").first).to_contain_text("completed")

            # find which worker has most
            page.get_by_role("navigation").get_by_role("link", name="Workers").click()
            expect(main.locator("tbody tr").first).to_contain_text("till")

            # and the filter helps whoever writes one
            links.click()
            page.get_by_label("Filter").fill("")
            offers = page.locator("#filter-words option")
            for text, word in (
                ("st", "status"),
                ("status = st", "stuck"),
                ("type in (B", "Buy"),
                ("step = cha", "charge"),
                ("status = stuck ", "and"),
                ("status = stuck and not (own", "owner"),
                ("cause ", "in ("),
            ):
                page.get_by_label("Filter").fill(text)
                expect(page.locator(f"#filter-words option[value$='{word}']")).to_have_count(1)
            page.get_by_label("Filter").fill('status = stuck and x ~ "(')
            expect(offers).to_have_count(0)
