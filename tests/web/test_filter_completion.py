"""The completion of the filter in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from tests.client.faces import Buy, worker
from tests.servers import Server
from tests.web.browser import PATIENCE, Visit, chromium, console, visiting

SCRIPT = re.compile(r"/filter\.js")
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def visits(server: Server) -> Iterator[tuple[Visit, str]]:
    """A visit to a console with one worker, and its address."""
    with (
        worker(server, "early", Buy()),
        console(server, "early") as site,
        chromium() as browser,
        visiting(browser, site) as visit,
    ):
        yield visit, site


def test_who_enters_the_filter_before_its_script_has_come_is_offered_words(visits: tuple[Visit, str]) -> None:
    visit, site = visits
    held: list[Route] = []
    visit.page.route(SCRIPT, lambda route: held.append(route), times=1)
    with visit.page.expect_request(SCRIPT):
        visit.page.goto(f"{site}/sagas", wait_until="commit")
    visit.page.get_by_label("Filter").fill("sta")
    assert held, "the script is on its way, and held"
    for route in held:
        route.continue_()
    visit.page.wait_for_load_state("load")
    expect(visit.page.locator("#filter-words option[value='status']")).to_have_count(1)


def test_what_is_offered_stays_while_the_page_is_renewed(visits: tuple[Visit, str]) -> None:
    """Nobody types in that moment: what was taken away would not come back."""
    visit, _ = visits
    visit.go("/sagas")
    visit.page.get_by_label("Filter").fill("sta")
    offers = visit.page.locator("#filter-words option[value='status']")
    expect(offers).to_have_count(1)
    visit.page.evaluate("(tag = '', refresh())")  # as if the page had changed meanwhile
    assert offers.count() == 1


def test_words_that_could_not_be_had_are_asked_for_again(visits: tuple[Visit, str]) -> None:
    visit, _ = visits
    visit.page.route("**/api/words", lambda route: route.fulfill(status=503), times=1)
    visit.go("/sagas")
    with visit.page.expect_console_message(lambda said: "503" in said.text):
        visit.page.get_by_label("Filter").fill("st")
    visit.page.get_by_label("Filter").fill("sta")
    expect(visit.page.locator("#filter-words option[value='status']")).to_have_count(1)
    visit.complaints.clear()  # the browser tells of the 503
