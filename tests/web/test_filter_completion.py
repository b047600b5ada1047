"""The completion of the filter in a real Chromium."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.client.faces import Buy, worker
from tests.servers import Server
from tests.web.browser import PATIENCE, chromium, console, visiting


def test_who_enters_the_filter_before_its_script_has_come_is_offered_words(server: Server) -> None:
    expect.set_options(timeout=PATIENCE)
    with (
        worker(server, "early", Buy()),
        console(server, "early") as site,
        chromium() as browser,
        visiting(browser, site) as visit,
    ):
        held: list[Route] = []
        visit.page.route("**/filter.js", lambda route: held.append(route))
        with visit.page.expect_request("**/filter.js"):
            visit.page.goto(f"{site}/sagas", wait_until="commit")
        visit.page.get_by_label("Filter").fill("sta")
        for route in held:
            route.continue_()
        visit.page.wait_for_load_state("load")
        expect(visit.page.locator("#filter-words option[value='status']")).to_have_count(1)
