"""Acts on all sagas that fit a filter, from the list of sagas; and the columns of that list."""

from __future__ import annotations

from urllib.parse import quote_plus

import httpx
import pytest
from sagakit import Client
from sagakit.client.list_columns import COLUMNS, MOST, checked_columns
from sagakit.errors import InvalidInput
from sagakit.web.filter_acts import filter_acts
from sagakit.web.visitors import Everyone, Visitor
from starlette.requests import Request

from tests.client.faces import Buy, Order
from tests.servers import Server
from tests.web.test_guard import an_app, asked
from tests.web.test_pages import read, url
from tests.web.visits import visit

STUCK = "attributes.shop = north and status = stuck"


def test_all_that_fit_a_filter_are_given_a_verb_after_a_preview(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for id, shop in (("a", "north"), ("b", "north"), ("c", "north"), ("other", "south")):
            handle = await client.start(Buy, id, Order(breaks=True), attributes={"shop": shop})
            await handle.wait(or_stuck=True)
        listed = await read(http, f"/sagas?where={quote_plus(STUCK)}")
        links = {link.partition("verb=")[2].partition("&")[0]: link for link in listed.links if "verb=" in link}
        assert set(links) == {"retry", "cancel", "compensate"}
        assert "terminate: this takes the role admin" in listed.text
        assert "verb=" not in "".join((await read(http, "/sagas")).links), "no filter would mean every saga"
        await read(http, "/sagas/act?verb=retry&where=+", 422)
        await read(http, links["retry"].replace("retry", "terminate"), 403)
        await read(http, links["retry"].replace("retry", "signal"), 404)
        assert "undone: reserve in 3 sagas" in (await read(http, links["compensate"])).text
        assert "retry: 4 sagas" in (await read(http, "/sagas/act?verb=retry&where=*")).text
        ended = await read(http, "/sagas/act?verb=retry&where=status+%3D+completed")
        assert "no unfinished saga here that fits" in ended.text
        preview = await read(http, links["retry"])
        assert "called again: charge in 3 sagas" in preview.text
        assert STUCK in preview.text

        form = {**preview.fields, "reason": "the bank is back"}
        for wrong, status in (
            ({"reason": " "}, 422),
            ({"token": "x"}, 403),
            ({"verb": "terminate"}, 403),
            ({"where": ""}, 422),
            ({"where": "type = None"}, 409),
            ({"count": "many"}, 422),
            ({"count": "0"}, 409),
        ):
            assert (await http.post("/sagas/act", data={**form, **wrong})).status_code == status, wrong
        Buy.broken = False
        answer = await http.post("/sagas/act", data={**form, "count": "2"})  # as if the third was not there before
        assert answer.status_code == 303
        job = await read(http, answer.headers["location"])
        assert "by ann" in job.text
        assert [url(id) in job.links for id in ("a", "b", "c", "other")] == [True, True, False, False]
        for id in ("a", "b"):
            await (await client.get(Buy, id)).wait()
            assert "the bank is back" in (await read(http, url(id))).text
        left = [(await client.load(Buy, id)).status for id in ("c", "other")]
        assert left == ["stuck", "stuck"]

        chosen = f"/sagas?where={quote_plus(STUCK)}&column=attributes.shop&column=version"
        assert "sagashopversion" in (await read(http, chosen)).text.replace("\n", "")
        answer = await http.get(chosen)
        assert '<td class="text" data-name="shop">north</td><td data-name="version">1</td>' in answer.text
        assert 'value="attributes.shop" checked' in answer.text
        assert 'value="status">' in answer.text
        assert answer.text.count('type="hidden" name="column"') == 2, "the filter keeps the columns"

    visit("asyncio", server, namespace, body, authentication=Everyone("operator", name="ann"))


# ------------------------------------------------------------------------- without a client


def _request(rank: str, *, read_only: bool) -> Request:
    visitor = Everyone(rank, name="ann").visitor(None)  # type: ignore[arg-type]
    assert isinstance(visitor, Visitor)
    return Request({"type": "http", "sagakit.visitor": visitor, "sagakit.read_only": read_only})


def test_a_console_that_only_looks_offers_no_acts() -> None:
    assert filter_acts(_request("admin", read_only=True), STUCK) == []
    assert [why for _, _, why in filter_acts(_request("admin", read_only=False), STUCK)] == [""] * 4


@pytest.mark.parametrize("path", ["/sagas/act?verb=retry&where=*", "/stuck/act?verb=retry&type=Buy"])
def test_a_viewer_may_not_act_on_many(path: str) -> None:
    app = an_app(authentication=Everyone("viewer"))
    assert asked(app, "GET", path).status_code == 403
    assert asked(app, "POST", path.partition("?")[0], data={}).status_code == 403


def test_columns_are_known_ones_or_attributes() -> None:
    assert checked_columns(["error", " at", "error", "attributes.a.b"]) == ("error", "at", "attributes.a.b")
    assert checked_columns(COLUMNS) == tuple(COLUMNS)
    with pytest.raises(InvalidInput, match=r"no column 'stat': .*did you mean 'status'"):
        checked_columns(["stat"])
    with pytest.raises(InvalidInput, match=r"no column 'attributes\.'"):
        checked_columns(["attributes."])
    with pytest.raises(InvalidInput, match="30 columns at the most, and these are 31"):
        checked_columns([f"attributes.{number}" for number in range(MOST + 1)])
    answer = asked(an_app(), "GET", "/sagas?column=%3Cscript%3E")
    assert (answer.status_code, "&lt;script&gt;" in answer.text) == (422, True)
