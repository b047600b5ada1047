"""The pages of the console: what they show, hostile texts, acts by forms, and that no page asks another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import httpx
import pytest
import sagakit.web
from sagakit import Client
from sagakit.client.json_shapes import GroupLine
from sagakit.naming import encode_id
from sagakit.repository import parse
from sagakit.web.assets import asset_path, styles
from sagakit.web.rendering import MAX_SHOWN, ago, breaks, group_filter, visible
from sagakit.web.visitors import Everyone, Visitor
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import Server
from tests.web.test_api import HOSTILE
from tests.web.test_guard import an_app, asked
from tests.web.visits import visit, visiting


class Reader(HTMLParser):
    """Reads a page: its text, its links, its forms, and whatever could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.fields: dict[str, str] = {}
        self.actions: list[str] = []
        self.inline: list[str] = []
        self.buttons: dict[str, bool] = {}
        self._button = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.links += [given[name] for name in ("href", "src", "action") if name in given]
        if tag == "script":
            self.scripts.append(given.get("src", "inline"))
        if tag == "form":
            self.actions.append(given.get("action", ""))
        if tag == "input":
            self.fields.setdefault(given.get("name", ""), given.get("value", ""))
        if tag == "button":
            self._button = "disabled" not in given

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style" and data.strip():
            self.inline += [] if data == styles() else [data]
            return
        self.text += data
        if self.lasttag == "button" and data.strip():
            self.buttons.setdefault(data.strip(), self._button)


async def read(http: httpx.AsyncClient, path: str, status: int = 200) -> Reader:
    answer = await http.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = Reader(answer.text)
    assert found.inline == []
    scripts = [script.rpartition("/")[2].partition("?")[0] for script in found.scripts]
    assert scripts in (
        ["console.js"],
        ["charts.js", "console.js"],
        ["filter.js", "console.js"],
        ["dagre.min.js", "diagram.js", "console.js"],
    )
    assert [link for link in found.links if not link.startswith(("/", "#"))] == []
    return found


def url(id: str, rest: str = "") -> str:
    return f"/sagas/Buy/{encode_id(id)}{rest}"


@pytest.mark.parametrize("face", CLIENTS)
def test_an_operator_finds_what_is_stuck_and_mends_it(
    face: str, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        handle = await client.start(Buy, "one", Order(4, breaks=True))
        await handle.wait(or_stuck=True)
        await client.start(Buy, "two", Order(), wait="ended")
        overview = await read(http, "/")
        assert "1 group" in overview.text
        (worker_link,) = [link for link in overview.links if "owner" in link]
        assert (await client.load(Buy, "one")).owner in worker_link
        assert url("one") in (await read(http, worker_link)).links
        stuck = await read(http, "/stuck")
        assert "RuntimeError('the bank is down')" in stuck.text
        group = next(link for link in stuck.links if "where=" in link)
        found = await read(http, group.replace("&amp;", "&"))
        assert url("one") in found.links
        assert url("two") not in found.links

        page = await read(http, url("one"))
        assert "It waits for a person." in page.text
        assert page.buttons == {
            "retry": True,
            "cancel": True,
            "compensate": True,
            "terminate": True,
            "complete-step charge".replace("-", " "): True,
            "signal approved": False,
        }
        form = {"token": page.fields["token"], "run": page.fields["run"], "reason": "the bank is back"}
        assert (await http.post(url("one", "/retry"), data={**form, "reason": " "})).status_code == 422
        assert (await http.post(url("one", "/retry"), data={**form, "token": "x"})).status_code == 403
        assert (await http.post(url("one", "/retry"), data={**form, "run": "other"})).status_code == 409
        Buy.broken = False
        answer = await http.post(url("one", "/retry"), data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{url('one')}?done=retry")
        await handle.wait()
        after = await read(http, url("one"))
        assert "operator.retry" in after.text
        assert "the bank is back" in after.text
        assert after.buttons == {}

    visit(face, server, namespace, body)


def test_a_button_that_may_not_be_pressed_says_why(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")
        page = await read(http, url("one"))
        verbs = {"retry": False, "cancel": True, "compensate": True, "terminate": False}
        assert page.buttons == {**verbs, "signal approved": True}
        assert "it is running, not stuck" in page.text
        assert "this takes the role admin" in page.text
        form = {"token": page.fields["token"], "run": page.fields["run"], "reason": "x"}
        assert (await http.post(url("one", "/terminate"), data=form)).status_code == 403
        async with visiting(sagakit.web.app(client)) as looker:
            looked = await read(looker, url("one"))
        assert set(looked.buttons.values()) == {False}

    visit("asyncio", server, namespace, body, authentication=Everyone("operator", name="ann"))


def test_hostile_texts_are_shown_as_text(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        long = "<img src=x onerror=alert(1)>\u202e" * 2200
        for id in HOSTILE:
            await client.start(Buy, id, Order(asks=True, note=long), attributes={"<b>": id})
        for id in HOSTILE:
            page = await read(http, url(id))
            assert visible(id) in page.text
        listed = await read(http, "/sagas")
        assert all(url(id) in listed.links and visible(id) in listed.text for id in HOSTILE)
        answer = await http.get(url(HOSTILE[0]))
        assert "<img" not in answer.text
        assert "\u202e" not in answer.text
        assert f"({len(long)}" not in answer.text  # the value has more characters than the text in it
        assert len(answer.text) < 8 * MAX_SHOWN
        reflected = await read(http, "/sagas?where=%3Cscript%3E%22%27", 422)
        assert reflected.fields["where"] == "<script>\"'"

    visit("asyncio", server, namespace, body)


def test_a_page_is_the_same_under_a_prefix_and_says_when_nothing_has_changed(server: Server, namespace: str) -> None:
    async def main(client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")
        app = Starlette(routes=[Mount("/shop/sagas", sagakit.web.app(lambda: client))])
        async with visiting(app) as http:
            for path in ("/", "/stuck", "/sagas", url("one")):
                page = await read(http, f"/shop/sagas{path}")
                assert [link for link in page.links if not link.startswith("/shop/sagas/")] == []
            answer = await http.get(f"/shop/sagas{url('one')}")
            tag = answer.headers["etag"]
            again = await http.get(f"/shop/sagas{url('one')}", headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b"")
        for other in (
            sagakit.web.app(client),
            sagakit.web.app(client, secret="s", authentication=Everyone("operator")),
            sagakit.web.app(client, secret="s"),
        ):
            async with visiting(other) as http:  # a new process, another visitor
                again = await http.get(url("one"), headers={"If-None-Match": tag})
                assert again.status_code == 200, "the page that the browser has kept has a form that is refused"
                tag = again.headers["etag"]
        async with visiting(app) as http:
            tag = (await http.get(f"/shop/sagas{url('one')}")).headers["etag"]
            await client.signal(Buy, "one", Buy.approved, "ann")
            await (await client.get(Buy, "one")).wait()
            again = await http.get(f"/shop/sagas{url('one')}", headers={"If-None-Match": tag})
            assert again.status_code == 200
            missing = await read(http, f"/shop/sagas{url('two')}", 404)
            assert "no saga is stored under Buy.two" in missing.text
            assert "sagakit explain UnknownSaga" in missing.text

    with worker(server, namespace):
        CLIENTS["asyncio"](server.url, main, namespace=namespace)


# -------------------------------------------------------------------- without a client


class ByHeader:
    """Lets a test say who sends a request."""

    challenge = ""

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        return Visitor(connection.headers["x-user"], "operator")


def test_an_address_without_a_page_is_told_on_a_page_and_as_a_problem_elsewhere() -> None:
    app, browses = an_app(authentication=ByHeader()), {"X-User": "ann", "Accept": "text/html,*/*;q=0.8"}
    found = asked(app, "GET", "/nowhere/<b>", headers=browses)
    assert (found.status_code, found.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is nothing at /nowhere/" in found.text
    assert "<b>" not in found.text
    assert "ann, operator" in found.text
    for path, headers in (("/api/nowhere", browses), ("/nowhere", {"X-User": "ann"})):
        answer = asked(app, "GET", path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_form_takes_no_json_and_no_other_visitors_token() -> None:
    app = an_app(authentication=ByHeader())
    answer = asked(app, "POST", "/sagas/Buy/one/retry", headers={"X-User": "ann"}, json={})
    assert answer.status_code == 415
    for token in ("", "é", "0" * 64):
        data = {"token": token, "reason": "x", "run": "r"}
        answer = asked(app, "POST", "/sagas/Buy/one/retry", headers={"X-User": "ann"}, data=data)
        assert (answer.status_code, "load it again" in answer.text) == (403, True)
    many = "&".join(f"a{number}=" for number in range(30))
    headers = {"X-User": "ann", "Content-Type": "application/x-www-form-urlencoded"}
    assert asked(app, "POST", "/sagas/Buy/one/retry", headers=headers, content=many).status_code == 422
    assert asked(app, "POST", "/sagas/Buy/one/explode", headers={"X-User": "ann"}, data={}).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "console.css",
        "console.js",
        "dagre.min.js",
        "diagram.js",
        "idiomorph.min.js",
        "uplot.min.js",
        "uplot.min.css",
        "icon.svg",
        "LICENSES.txt",
    ],
)
def test_assets_come_from_the_package(name: str) -> None:
    answer = asked(an_app(), "GET", f"/assets/{name}")
    assert answer.status_code == 200
    assert answer.content == (files("sagakit.web") / "assets" / name).read_bytes()
    assert answer.headers["cache-control"] == "no-cache", "its next release may have other bytes"


def test_a_browser_keeps_an_asset_under_the_address_that_has_its_digest() -> None:
    kept = asked(an_app(), "GET", asset_path("console.css"))
    assert kept.headers["cache-control"] == "private, max-age=31536000, immutable"
    of_other_bytes = asked(an_app(), "GET", "/assets/console.css?v=0123456789abcdef")
    assert of_other_bytes.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["none.css", "..%2fpages.py", "pages.py", "..%2f__init__.py", "%00.css"])
def test_nothing_else_of_the_package_can_be_had(name: str) -> None:
    assert asked(an_app(), "GET", f"/assets/{name}").status_code == 404


def test_all_scripts_together_are_small() -> None:
    assets = files("sagakit.web") / "assets"
    assert sum(len(one.read_bytes()) for one in assets.iterdir() if one.name.endswith(".js")) < 150_000


NAMED = ("http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot")
"""The name of a format, and the first line of a script."""


def test_no_asset_and_no_template_names_another_host() -> None:
    for folder in ("assets", "templates"):
        for one in (files("sagakit.web") / folder).iterdir():
            if one.name != "LICENSES.txt":
                found = re.findall(r"https?://[^\s\"')]+", one.read_text())
                assert [link for link in found if link not in NAMED] == [], one.name


@pytest.mark.parametrize(
    "error",
    ["timeout after 0.#s", 'a "quoted" (?text) with \\ and # and more', "#", "", "^begin$", "line\nbreak", "x" * 5000],
)
def test_the_filter_of_a_group_is_one_that_can_be_read(error: str) -> None:
    group = GroupLine(type="Buy", step="charge", error=error, count=1, oldest="Buy.one", oldest_at=None)
    parse(group_filter(group), now=0.0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("\u202egnp", "<U+202E>gnp"),
        ("a\x00\n", "a<U+0000><U+000A>"),
        ("雪é", "雪é"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_what_cannot_be_seen_has_its_code(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_json_is_broken_after_commas_and_stays_text() -> None:
    assert breaks('{"a":"<b>, d","c":1}') == "{&#34;a&#34;:&#34;&lt;b&gt;, d&#34;,<wbr>&#34;c&#34;:1}"


def test_texts_are_cut_where_a_page_would_be_too_long() -> None:
    assert visible("x" * (MAX_SHOWN + 5)).endswith(" … (65,541 characters)")


def test_times_are_told_in_one_unit() -> None:
    from datetime import UTC, datetime

    time = datetime.fromtimestamp(100_000, UTC)
    told = [ago(time, 100_000 + seconds) for seconds in (0, -0.2, 119, 120, 7200, 200_000, -30)]
    assert told == ["0 s ago", "0 s ago", "119 s ago", "2 min ago", "2 h ago", "2 d ago", "in 30 s"]
