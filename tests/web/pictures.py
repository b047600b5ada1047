"""Maker of the pictures in docs/console.md: `make pictures` opens a small shop and visits its console with Chromium."""

from __future__ import annotations

import base64
import logging
import os
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from playwright.sync_api import Page, ViewportSize, expect
from sagakit.repository.groups import GroupName
from sagakit.web.group_acts import group_query

from tests.client.faces import on_asyncio_client, worker
from tests.servers import running_server
from tests.web.browser import DESK, PHONE, Visit, chromium, console, visiting
from tests.web.shop import InsureParcel, PlaceOrder, open_shop

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
QUALITY = 82
"""Of WebP, in percent."""
VISITOR = "ann"
STUCK = "/sagas?where=status+%3D+stuck+and+error+~+courier"
ERROR = "RuntimeError('courier: # Service Unavailable, request #')"
GROUP = f"/stuck/act?{group_query(GroupName('PlaceOrder', 'ship', ERROR), 'retry')}"


class Picture(NamedTuple):
    """A page, how it is looked at, and the pixels of its height that are shown at the most."""

    path: str
    theme: Literal["light", "dark"]
    window: ViewportSize = DESK
    most: int = 900


PICTURES: Mapping[str, Picture] = {
    "overview": Picture("/", "light"),
    "stuck": Picture("/stuck", "dark"),
    "group": Picture(GROUP, "light"),
    "sagas": Picture(STUCK, "light"),
    "saga": Picture("/sagas/PlaceOrder/order-3", "dark", most=1140),
    "replay": Picture("/sagas/PlaceOrder/order-11?at=11", "light", most=880),
    "audit": Picture("/audit", "light"),
    "phone": Picture("/sagas/PlaceOrder/order-198", "dark", PHONE),
}


def main() -> None:
    """Write all pictures."""
    logging.disable(logging.ERROR)  # the sagas that get stuck are meant to
    os.environ["LOGNAME"] = VISITOR  # the console takes the name of its visitor from the login
    with (
        TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        worker(server, "", PlaceOrder(), InsureParcel()),
    ):
        on_asyncio_client(server.url, open_shop)
        with console(server, "") as site, chromium() as browser:
            for name, picture in PICTURES.items():
                with visiting(browser, site) as visit:
                    look(visit, picture)
                    (FOLDER / f"{name}.webp").write_bytes(taken(visit.page, picture))


def look(visit: Visit, picture: Picture) -> None:
    """Go to the page of a picture."""
    visit.page.emulate_media(color_scheme=picture.theme)
    visit.page.set_viewport_size(picture.window)
    visit.go(picture.path)
    if picture.path == "/":
        expect(visit.page.locator("#charts canvas")).to_have_count(4)  # they come after the first paint


def taken(page: Page, picture: Picture) -> bytes:
    """Return a picture of a page as WebP, without the empty space below it."""
    bottom: int = page.evaluate("document.querySelector('main').lastElementChild.getBoundingClientRect().bottom")
    window = picture.window
    page.set_viewport_size(ViewportSize(width=window["width"], height=min(int(bottom) + 24, picture.most)))
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(shot["data"])


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
