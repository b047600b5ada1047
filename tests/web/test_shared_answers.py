"""Answers that renewals of pages share: in virtual time, and over an app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sagakit.web
import trio
from sagakit import Client
from sagakit.web.shared_answers import LARGEST, MOST, OLDEST, SharedAnswers, age_for
from sagakit.web.shared_looks import SHARE
from sagakit.web.visitors import Visitor
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import Server
from tests.web.test_guard import an_app, asked
from tests.web.visits import visit, visiting

RENEWAL = {"Cache-Control": "max-age=2"}


def asking(path: str = "/sagas", name: str = "ann", query: bytes = b"", **headers: str) -> Request:
    """Return a request as it comes past the guard."""
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": raw}
    return Request(scope | {"sagakit.visitor": Visitor(name)})


class Pages:
    """Makes pages, each in some seconds of virtual time, and numbers them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.shared = SharedAnswers(clock=trio.current_time)
        self.seconds = seconds
        self.made = 0
        self.status = 200
        self.size = 0

    async def make(self) -> Response:
        self.made += 1
        number = self.made
        await trio.sleep(self.seconds)
        if self.status == 500:
            raise OSError("away")
        return Response(f"{number}" + " " * self.size, self.status, {"ETag": f"{number}"}, "text/html")

    async def get(self, request: Request, age: int = 2) -> str:
        found = await self.shared.get(request, age, self.make)
        assert found.headers["etag"] == bytes(found.body).decode().strip()
        return found.headers["etag"]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(10_000):
            await main()

    trio.run(bounded, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("header", "age"), [("", 0), ("max-age=0", 0), ("no-cache", 0), ("max-age=2", 2), (f"max-age={OLDEST + 1}", OLDEST)]
)
def test_a_renewal_says_how_old_its_answer_may_be(header: str, age: int) -> None:
    assert age_for(asking(cache_control=header)) == age


def test_fifty_renewals_at_once_are_one_answer() -> None:
    async def main() -> None:
        pages, found = Pages(seconds=1.0), list[str]()

        async def renew() -> None:
            found.append(await pages.get(asking()))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(renew)
        assert (found, pages.made) == (["1"] * 50, 1)

    run(main)


def test_an_answer_serves_as_long_as_a_renewal_allows() -> None:
    async def main() -> None:
        pages = Pages()
        assert await pages.get(asking()) == "1"
        await trio.sleep(2.0)
        assert await pages.get(asking()) == "1"
        await trio.sleep(0.1)
        assert await pages.get(asking()) == "2"

    run(main)


def test_an_answer_that_took_long_serves_for_some_times_as_long() -> None:
    async def main() -> None:
        pages = Pages(seconds=1.0)
        await pages.get(asking())
        await trio.sleep(SHARE * 1.0 - 1.0)
        assert await pages.get(asking()) == "1"
        await trio.sleep(0.1)
        assert await pages.get(asking()) == "2"

    run(main)


def test_what_differs_between_visitors_is_not_shared() -> None:
    async def main() -> None:
        pages = Pages()
        asked = [
            asking(), asking(name="ben"), asking(query=b"where=x"), asking(path="/"), asking(if_none_match="1"),
            asking(cookie="sagakit_zone=Europe/Berlin"),
        ]  # fmt: skip
        assert [await pages.get(one) for one in asked] == ["1", "2", "3", "4", "5", "6"]
        assert [await pages.get(one) for one in asked] == ["1", "2", "3", "4", "5", "6"]

    run(main)


def test_errors_other_pages_and_large_ones_are_not_shared() -> None:
    async def main() -> None:
        pages = Pages()
        pages.status = 303
        assert [await pages.get(asking()) for _ in range(2)] == ["1", "2"]
        pages.status, pages.size = 200, LARGEST
        assert [await pages.get(asking()) for _ in range(2)] == ["3", "4"]
        pages.status, pages.size = 500, 0
        for _ in range(2):
            with pytest.raises(OSError, match="away"):
                await pages.get(asking())
        pages.status = 200
        assert await pages.get(asking()) == "7"

    run(main)


def test_who_waits_for_an_answer_that_never_comes_gets_one_of_their_own() -> None:
    async def main() -> None:
        pages, found = Pages(seconds=1.0), list[str]()

        async def renew() -> None:
            found.append(await pages.get(asking()))

        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as left:
                async with trio.open_nursery() as first:
                    first.start_soon(renew)
                    await wait_all_tasks_blocked()
                    nursery.start_soon(renew)
                    await wait_all_tasks_blocked()
                    left.cancel()
        assert found == ["2"]

    run(main)


def test_no_more_answers_are_kept_than_pages_are_open() -> None:
    async def main() -> None:
        pages = Pages()
        for number in range(MOST + 1):
            await pages.get(asking(query=b"%d" % number))
        assert await pages.get(asking(query=b"1")) == "2"
        assert await pages.get(asking(query=b"0")) == f"{MOST + 2}"

    run(main)


def test_what_its_maker_does_afterwards_is_done_once() -> None:
    done = list[int]()

    async def make() -> Response:
        return Response("x", background=BackgroundTask(done.append, 1))

    async def main() -> None:
        shared = SharedAnswers(clock=trio.current_time)
        first, second = [await shared.get(asking(), 2, make) for _ in range(2)]
        assert first.background is not None
        assert second.background is None

    run(main)


@pytest.mark.parametrize("face", CLIENTS)
def test_pages_that_are_open_share_an_answer_and_a_visitor_who_comes_gets_their_own(
    face: str, server: Server, namespace: str
) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        before = await http.get("/sagas", headers=RENEWAL)
        await client.start(Buy, "one", Order(asks=True), wait="started")
        assert "/sagas/Buy/one" in (await http.get("/sagas")).text
        again = await http.get("/sagas", headers={"Cache-Control": f"max-age={OLDEST}"})
        assert again.text == before.text
        assert again.headers == before.headers

    visit(face, server, namespace, body)


def test_a_page_that_is_renewed_brings_no_styles_and_no_browser_keeps_it(server: Server, namespace: str) -> None:
    async def main(client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")
        async with visiting(sagakit.web.app(client)) as http:
            opened, renewed = [await http.get("/sagas/Buy/one", headers=one) for one in ({}, RENEWAL)]
            assert [one.text.count("<style>") for one in (opened, renewed)] == [1, 0]
            assert [one.headers["cache-control"] for one in (opened, renewed)] == ["no-cache", "no-store"]
            same = await http.get("/sagas/Buy/one", headers=RENEWAL | {"If-None-Match": renewed.headers["etag"]})
            assert (same.status_code, same.content) == (304, b"")

    with worker(server, namespace):
        CLIENTS["asyncio"](server.url, main, namespace=namespace)


def test_a_renewal_needs_the_rank_of_its_page() -> None:
    answer = asked(an_app(authentication=sagakit.web.Everyone("viewer")), "GET", "/stuck/act", headers=RENEWAL)
    assert answer.status_code == 403
