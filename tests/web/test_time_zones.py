"""The time zone of pages: chosen by a form, kept by the browser, used for every time that pages tell."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import pytest
from sagakit import Client
from sagakit.web.time_zones import COOKIE, clock, zone_names
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.client.faces import Buy, Order
from tests.servers import Server
from tests.web.test_guard import an_app, asked
from tests.web.test_pages import Reader, read, url
from tests.web.visits import visit

SUMMER = datetime(2026, 7, 1, 22, 30, 0, 5000, UTC)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "2026-07-01 22:30:00.005Z"),
        ("Europe/Berlin", "2026-07-02 00:30:00.005+02:00"),
        ("Asia/Kathmandu", "2026-07-02 04:15:00.005+05:45"),
        ("Africa/Abidjan", "2026-07-01 22:30:00.005Z"),
    ],
)
def test_a_time_tells_its_distance_from_utc(zone: str, told: str) -> None:
    assert clock(SUMMER, ZoneInfo(zone)) == told


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    hours = [clock(datetime(2026, 10, 25, hour, 30, tzinfo=UTC), berlin, "seconds") for hour in (0, 1)]
    assert hours == ["2026-10-25 02:30:00+02:00", "2026-10-25 02:30:00+01:00"]


def test_a_visitor_chooses_the_zone_and_comes_back_to_the_page(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")
        before = (await http.get(url("one"))).text
        assert 'Z"' in before
        page = await read(http, url("one", "?at=1"))
        (link,) = [link for link in page.links if "time-zone" in link]
        form = await read(http, link)
        data = {"token": form.fields["token"], "back": form.fields["back"], "zone": "Asia/Kathmandu"}
        assert data["back"] == url("one", "?at=1")
        answer = await http.post("/time-zone", data=data)
        assert (answer.status_code, answer.headers["location"]) == (303, url("one", "?at=1"))
        assert "+05:45</time>" in (await http.get(answer.headers["location"])).text
        after = await http.get(url("one"))
        assert '+05:45"' in after.text
        assert 'Z"' not in after.text.replace("T", "").replace('+00:00"', ""), "a time is told in UTC"
        assert 'datetime="' in after.text
        detail = (await http.get(f"/api{url('one')}")).text
        assert "+05:45" not in detail, "the API tells times in UTC"
        http.cookies.clear()
        again = await http.get(url("one"), headers={"If-None-Match": after.headers["etag"]})
        assert again.status_code == 200, "the page that the browser has kept tells times in another zone"

    visit("asyncio", server, namespace, body)


@pytest.mark.parametrize(
    "cookie", ["", "../../etc/passwd", "/etc/localtime", "Nowhere/Else", "x" * 4000, '"', "UTC\\000", "<b>"]
)
def test_a_cookie_that_names_no_zone_is_as_none(cookie: str) -> None:
    answer = asked(an_app(), "GET", "/stuck/explode", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert answer.status_code == 404
    page = asked(an_app(), "POST", "/time-zone", headers={"Cookie": f"{COOKIE}={cookie}"}, data={"zone": "UTC"})
    assert page.status_code == 403
    assert ">UTC</a>" in page.text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "\t//evil.example"])
def test_the_way_back_never_leads_to_another_host(back: str) -> None:
    def ask(root: str) -> str:
        app = an_app(secret="s")
        mounted = Starlette(routes=[Mount(root, app)]) if root else app
        token = _token()
        answer = asked(mounted, "POST", f"{root}/time-zone", data={"token": token, "back": back, "zone": "UTC"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    assert ask("/shop").startswith("/shop/")
    assert ask("").startswith("/")
    assert not ask("").startswith(("//", "/\\", "/\t"))


def _token() -> str:
    import hmac
    from hashlib import sha256

    return hmac.new(b"s", b"admin ", sha256).hexdigest()


def test_a_zone_that_is_not_known_is_refused() -> None:
    answer = asked(an_app(secret="s"), "POST", "/time-zone", data={"token": _token(), "zone": "../UTC"})
    assert answer.status_code == 422
    assert "choose one of the list" in Reader(answer.text).text
    assert "set-cookie" not in answer.headers


def test_the_zones_are_there_without_the_files_of_the_system() -> None:
    assert {"UTC", "Europe/Berlin", "America/New_York"} <= set(zone_names())
