"""The guard of the app: who may do what, other sites, other hosts, bounded bodies, headers. No client is reached."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sagakit.web
import trio
from sagakit.errors import InvalidConfig, codes_of
from sagakit.web.acting import name_of
from sagakit.web.bodies import MAX_BODY, bounded
from sagakit.web.endpoints import ENDPOINTS
from sagakit.web.guard import HEADERS
from sagakit.web.looking import wait_of
from sagakit.web.problems import Problem
from sagakit.web.visitors import RANKS, Everyone, Proxy, Tokens, Visitor, check_may
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp

from tests.web.visits import no_client, visiting

ANN, BOB = "a" * 24, "b" * 30
TOKENS = {ANN: Visitor("ann", "admin"), BOB: Visitor("bob")}
START = "/api/sagas/Buy"
PLACES = {"type": "Buy", "id": "1", "name": "paid", "job": "1", "letter": "1", "subject": "orders.place"}


def asked(app: ASGIApp, method: str, path: str, **options: Any) -> httpx.Response:
    answers: list[httpx.Response] = []

    async def main() -> None:
        async with visiting(app) as http:
            answers.append(await http.request(method, path, **options))

    trio.run(main)
    return answers[0]


def an_app(**options: Any) -> Starlette:
    return sagakit.web.app(no_client(), **{"read_only": False, "authentication": Everyone("admin"), **options})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --------------------------------------------------------------------------- roles


def test_an_app_that_is_mounted_without_options_only_looks() -> None:
    app = Starlette(routes=[Mount("/sagas", sagakit.web.app(no_client()))])
    for endpoint in ENDPOINTS:
        if endpoint.method == "POST":
            path = "/sagas" + endpoint.path.format(**PLACES)
            assert code_of(asked(app, "POST", path, json={})) == (403, "NotAllowedHere")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_each_endpoint_takes_its_role_and_no_lower_one(endpoint: Any) -> None:
    changes = endpoint.method == "POST"
    assert (endpoint.rank != "viewer") == changes
    for rank in RANKS[: RANKS.index(endpoint.rank)]:
        path = endpoint.path.format(**PLACES)
        answer = asked(an_app(authentication=Everyone(rank)), endpoint.method, path, json={})
        assert code_of(answer) == (403, "NotAllowedHere"), rank
    if changes:
        path = endpoint.path.format(**PLACES)
        assert code_of(asked(an_app(read_only=True), endpoint.method, path, json={})) == (403, "ReadOnly")


def test_a_higher_role_may_do_what_a_lower_one_may() -> None:
    for number, rank in enumerate(RANKS):
        for lower in RANKS[: number + 1]:
            check_may(Visitor("ann", rank), lower, read_only=False)


# ------------------------------------------------------------------------ visitors


def basic(name: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {ANN}x", 401),
        ("Bearer " + "\xff" * 30, 401),
        (basic("bob", ANN), 401),
        ("Basic ????", 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401),
        (f"Bearer {BOB}", 403),
        (basic("bob", BOB), 403),
        (f"Bearer {ANN}", 415),
        (f"bearer {ANN}", 415),
        (basic("ann", ANN), 415),
        (basic("", ANN), 415),
    ],
)
def test_a_token_says_who_a_visitor_is(header: str | None, status: int) -> None:
    """415 means that the guard has let the request pass."""
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    answer = asked(an_app(authentication=Tokens(TOKENS)), "POST", START, headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ann admin short", "24 characters"),
        (f"ann root {ANN}", "'root' is not a role"),
        (f"ann {ANN}", "line 1: write NAME ROLE TOKEN"),
        ("# nobody\n", "has no token"),
        (f"{'x' * 200} viewer {ANN}", "is not a name"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(InvalidConfig, match=problem):
        Tokens.read(str(tmp_path / "tokens"))


def test_a_file_of_tokens_has_a_line_for_each_visitor(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# who\nann admin {ANN}\n\nbob viewer {BOB} # looks\n")
    app = an_app(authentication=Tokens.read(str(tmp_path / "tokens")))
    assert asked(app, "POST", START, headers={"Authorization": f"Bearer {ANN}"}).status_code == 415
    assert asked(app, "POST", START, headers={"Authorization": f"Bearer {BOB}"}).status_code == 403
    with pytest.raises(InvalidConfig, match="cannot be read"):
        Tokens.read(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("addresses", "headers", "status"),
    [
        (["127.0.0.0/8"], {"X-User": "ann", "X-Role": "operator"}, 415),
        (["127.0.0.0/8"], {"X-User": "ann", "X-Role": "god"}, 403),
        (["127.0.0.0/8"], {"X-User": "ann"}, 403),
        (["127.0.0.0/8"], {}, 401),
        (["127.0.0.0/8"], {"X-User": " "}, 401),
        (["127.0.0.0/8"], {"X-User": "a" * 129}, 401),
        (["10.0.0.0/8", "::1"], {"X-User": "ann", "X-Role": "admin"}, 401),
    ],
)
def test_the_header_of_a_proxy_counts_from_its_addresses_alone(
    addresses: list[str], headers: dict[str, str], status: int
) -> None:
    proxy = Proxy(header="X-User", addresses=addresses, rank_header="X-Role")
    assert asked(an_app(authentication=proxy), "POST", START, headers=headers).status_code == status


def test_a_header_that_comes_twice_names_nobody() -> None:
    proxy = Proxy(header="X-User", addresses=["127.0.0.1"], rank="admin")
    twice = [("X-User", "ann"), ("X-User", "root")]
    assert asked(an_app(authentication=proxy), "POST", START, headers=twice).status_code == 401


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1/8"], ["proxy"]])
def test_a_proxy_without_addresses_is_refused(addresses: list[str]) -> None:
    with pytest.raises(InvalidConfig, match=r"networks|network"):
        Proxy(header="X-User", addresses=addresses)


def test_an_act_is_audited_under_the_name_that_was_authenticated() -> None:
    assert name_of(Visitor("ann"), None) == name_of(Visitor("ann"), "ann") == "ann"
    assert name_of(Visitor("login", known=False), "bob") == "bob"
    assert name_of(Visitor("login", known=False), None) == "login"
    with pytest.raises(sagakit.InvalidInput, match="you are ann"):
        name_of(Visitor("ann"), "bob")


# -------------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
    ],
)
def test_a_change_that_another_site_sends_is_refused(headers: dict[str, str], passes: bool) -> None:
    answer = asked(an_app(), "POST", START, headers=headers)
    assert code_of(answer) == ((415, "UnsupportedMediaType") if passes else (403, "OtherSite"))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_a_form_of_another_site_could_send_is_no_json(kind: str) -> None:
    answer = asked(an_app(), "POST", START, headers={"Content-Type": kind}, content=b'{"input": null}')
    assert code_of(answer) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    ("host", "passes"),
    [("localhost", True), ("localhost:8000", True), ("LOCALHOST", True), ("evil.example", False), ("", False)],
)
def test_a_name_that_leads_here_from_elsewhere_is_refused(host: str, passes: bool) -> None:
    answer = asked(an_app(hosts={"localhost"}), "POST", START, headers={"Host": host})
    assert code_of(answer) == ((415, "UnsupportedMediaType") if passes else (421, "WrongHost"))


# --------------------------------------------------------------- bodies, headers, errors


def test_a_body_is_read_up_to_its_bound_only() -> None:
    sent: list[int] = []

    async def receive() -> dict[str, Any]:
        sent.append(65536)
        assert len(sent) < 100
        return {"type": "http.request", "body": b" " * 65536, "more_body": True}

    async def main() -> None:
        with pytest.raises(Problem, match="1,048,576 bytes") as told:
            await bounded(Request({"type": "http", "method": "POST", "headers": []}, receive))
        assert told.value.status == 413

    trio.run(main)
    assert sum(sent) <= MAX_BODY + 2 * 65536


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"reason": "x"', b"[" * 100_000])
def test_a_body_that_is_no_json_is_told_so(body: bytes) -> None:
    answer = asked(an_app(), "POST", f"{START}/1/retry", headers={"Content-Type": "application/json"}, content=body)
    assert code_of(answer) == (422, "InvalidInput")


@pytest.mark.parametrize("path", [START, "/api/none"])
def test_every_answer_keeps_the_browser_from_running_foreign_things(path: str) -> None:
    answer = asked(an_app(), "POST", path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_an_error_that_nobody_expects_is_an_answer_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    answer = asked(an_app(), "GET", "/api/groups")
    assert code_of(answer) == (500, "InternalError")
    assert "was asked for" not in answer.text
    assert "the client was asked for repository" in caplog.text


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=30", 30),
        ("respond-async, wait=5", 5),
        ("Wait = 7; foo", 7),
        ("wait=999999", 60),
        ("await=5", None),
        ("", None),
    ],
)
def test_the_wait_that_a_request_prefers_is_bounded(prefer: str, seconds: int | None) -> None:
    scope = {"type": "http", "headers": [(b"prefer", prefer.encode())]}
    assert wait_of(Request(scope)) == seconds


def test_each_error_of_the_tree_has_its_codes() -> None:
    """The classes whose call is wrong have a status below 500."""
    kinds: list[type[sagakit.SagakitError]] = [sagakit.SagakitError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = {kind.__name__: codes_of(kind.__new__(kind)) for kind in kinds}
    assert all(found.values())
    status: Callable[[str], int] = lambda name: found[name].status  # type: ignore[union-attr]  # noqa: E731
    assert [status(name) for name in ("UnknownSaga", "TooLate", "InvalidFilter", "Unavailable", "StoreFull")] == [
        404,
        409,
        422,
        503,
        507,
    ]
    assert codes_of(ValueError()) is None


def test_a_problem_may_be_raised_anywhere() -> None:
    error = Problem(403, "NotAllowedHere", "no")
    assert (str(error), error.status) == ("no", 403)


def test_the_page_of_the_docs_lists_the_endpoints_with_their_roles() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    rows = re.findall(r"^\| `(GET|POST) (/api/\S+)` \| (\w+) \| (.+) \|$", page, flags=re.MULTILINE)
    assert rows == [(one.method, one.path, one.rank, one.summary) for one in ENDPOINTS]
