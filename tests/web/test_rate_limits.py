"""How many requests one visitor may send: the algorithm and the budgets by a clock of the test, and one app."""

from __future__ import annotations

import inspect
import math
from typing import Any

import httpx
import pytest
import sagakit.web
import trio
from hypothesis import given
from hypothesis import strategies as st
from sagakit.cli.console_commands import web
from sagakit.errors import InvalidConfig
from sagakit.web import RateLimits
from sagakit.web.addresses import networks_of, place_of_sender
from sagakit.web.gcra import Gcra
from sagakit.web.problems import Problem
from sagakit.web.rate_limits import REMEMBERED, RequestLimiter
from sagakit.web.visitors import Authentication, Everyone, Tokens, Visitor
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from tests.web.visits import no_client, visiting

SECRET = b"k" * 16
TOKEN = "a" * 24


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# ------------------------------------------------------------------------ the algorithm


def test_requests_that_gathered_come_at_once_and_then_one_each_interval() -> None:
    gcra = Gcra(2.0, 8.0, secret=SECRET)
    assert [gcra.take("ann", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0, 2]
    assert gcra.wait("ann", 101.5) == 0.5
    assert [gcra.take("ann", 102.0), gcra.take("ann", 102.0)] == [0, 2]
    assert [gcra.take("ann", 110.0) for _ in range(5)] == [0, 0, 0, 0, 2]
    assert [gcra.take("ann", 1e6) for _ in range(6)] == [0, 0, 0, 0, 0, 2], "a long pause gathers no more"


def test_a_request_that_has_to_wait_costs_nothing() -> None:
    gcra = Gcra(1.0, 0.0, secret=SECRET)
    assert gcra.take("ann", 5.0) == 0
    assert {gcra.take("ann", 5.5) for _ in range(1000)} == {0.5}
    assert gcra.take("ann", 6.0) == 0


def test_each_key_has_its_own_budget() -> None:
    gcra = Gcra(1.0, 0.0, secret=SECRET)
    assert [gcra.take(key, 5.0) for key in ("ann", "bob", "ann", "\udc80")] == [0, 0, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=80), st.integers(1, 4), st.integers(0, 12))
def test_no_key_is_let_through_more_often_than_if_it_were_alone(
    requests: list[tuple[int, int]], interval: int, tolerance: int
) -> None:
    """However keys share slots, and one slot a row is the worst, what passes of a key conforms by itself."""
    for slots in (1, 2, 4096):
        shared, now = Gcra(interval, tolerance, secret=SECRET, slots=slots), 0
        alone: dict[int, float] = {}
        for pause, key in requests:
            now += pause
            early = max(0.0, alone.get(key, 0.0) - tolerance - now)
            wait = shared.take(str(key), now)
            assert wait >= early
            assert wait == early or slots < 4096, "these keys share no slots"
            if not wait:
                alone[key] = max(alone.get(key, 0.0), now) + interval


def test_its_memory_is_fixed_and_few_visitors_suffer_from_many_that_send_too_much() -> None:
    gcra = Gcra(3600.0, 0.0, secret=SECRET)
    size = len(gcra._arrivals)
    for number in range(400):
        gcra.take(f"bad {number}", 0.0)
    refused = sum(gcra.wait(f"good {number}", 0.0) > 0 for number in range(2000))
    assert refused <= 3
    for number in range(20_000):
        gcra.take(f"worse {number}", 0.0)
    assert len(gcra._arrivals) == size


def test_which_keys_share_slots_depends_on_the_secret() -> None:
    one, other = (Gcra(1.0, 0.0, secret=secret, slots=2) for secret in (SECRET, b"l" * 16))
    keys = [str(number) for number in range(50)]
    assert [one._places(key) for key in keys] != [other._places(key) for key in keys]


# ---------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("sender", "forwarded", "place"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # anybody can send the header
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # a visitor may begin the list
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:8080"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:99"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("testclient", ["198.51.100.1"], ""),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_address_of_a_sender_is_the_last_one_that_no_proxy_has(
    sender: str | None, forwarded: list[str], place: str
) -> None:
    assert place_of_sender(request(address=sender, forwarded=forwarded), networks_of(["10.0.0.0/8"])) == place


# ------------------------------------------------------------------------------ budgets


def request(
    method: str = "GET",
    visitor: Visitor | None = None,
    *,
    address: str | None = "192.0.2.7",
    login: str | None = None,
    forwarded: list[str] | None = None,
) -> Request:
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded or []]
    if login is not None:
        headers.append((b"authorization", login.encode()))
    client = None if address is None else (address, 1)
    scope = {"type": "http", "method": method, "headers": headers, "client": client, "sagakit.visitor": visitor}
    return Request(scope)


def passing(limiter: RequestLimiter, one: Request, most: int = 50) -> int:
    """Return how many equal requests pass until one is refused."""
    for number in range(most):
        try:
            limiter.check_request(one)
        except Problem:
            return number
    return most


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_reads_and_acts_have_budgets_of_their_own(clock: Clock) -> None:
    limiter = RequestLimiter(RateLimits(reads_per_second=2, acts_per_second=0.5), clock=clock)
    ann = Visitor("ann", "admin")
    assert passing(limiter, request("GET", ann)) == 20
    assert passing(limiter, request("HEAD", ann)) == 0
    assert passing(limiter, request("POST", ann)) == 5
    clock.now += 1
    assert passing(limiter, request("GET", ann)) == 2
    assert passing(limiter, request("POST", ann)) == 0
    with pytest.raises(Problem, match=r"0\.5 acts per second are allowed here\. Try again in 1 second$") as told:
        limiter.check_request(request("POST", ann))
    assert (told.value.status, told.value.headers) == (429, {"Retry-After": "1"})


def test_a_visitor_is_the_name_that_was_authenticated_else_the_address(clock: Clock) -> None:
    limits = RateLimits(reads_per_second=0.1, acts_per_second=0.1, forwarded_by=["10.0.0.0/8"])
    limiter = RequestLimiter(limits, clock=clock)
    known, claimed = Visitor("ann"), Visitor("ann", known=False)
    assert passing(limiter, request("GET", known, address="192.0.2.1")) == 1
    assert passing(limiter, request("GET", known, address="192.0.2.2")) == 0, "the name counts"
    assert passing(limiter, request("GET", Visitor("bob"), address="192.0.2.1")) == 1
    assert passing(limiter, request("GET", claimed, address="192.0.2.1")) == 1, "the address counts"
    assert passing(limiter, request("GET", claimed, address="192.0.2.1")) == 0
    assert passing(limiter, request("GET", claimed, address="10.0.0.1", forwarded=["192.0.2.1"])) == 0
    assert passing(limiter, request("GET", claimed, address="10.0.0.1", forwarded=["192.0.2.3"])) == 1
    assert passing(limiter, request("GET", Visitor("address 192.0.2.1"))) == 1, "a name is no address"


def failing(limiter: RequestLimiter, login: str, address: str = "192.0.2.7") -> bool:
    """Send a wrong login; return True if it was looked at."""
    one = request(address=address, login=login)
    try:
        limiter.check_login(one)
    except Problem:
        return False
    limiter.note_failure(one)
    return True


def test_after_too_many_failed_logins_none_from_there_is_looked_at_for_a_while(clock: Clock) -> None:
    limiter = RequestLimiter(RateLimits(failed_logins_per_minute=3), clock=clock)
    assert [failing(limiter, f"Bearer {number}") for number in range(5)] == [True, True, True, False, False]
    assert failing(limiter, "Bearer x", address="192.0.2.8"), "elsewhere it is"
    limiter.check_login(request())  # without a login nothing is refused here
    clock.now += 20
    assert [failing(limiter, f"Bearer {number}") for number in range(10, 12)] == [True, False]
    clock.now += 60
    assert [failing(limiter, f"Bearer {number}") for number in range(20, 24)] == [True, True, True, False]


def test_a_page_that_sends_its_old_token_again_and_again_locks_nobody_out(clock: Clock) -> None:
    limiter = RequestLimiter(RateLimits(failed_logins_per_minute=3), clock=clock)
    assert all(failing(limiter, "Bearer old") for _ in range(100))
    limiter.check_login(request(login="Bearer new"))
    for number in range(2):
        failing(limiter, f"Bearer {number}")
    assert not failing(limiter, "Bearer another")
    assert failing(limiter, "Bearer old"), "it is known as wrong already: nothing can be learned from it"


def test_the_wrong_logins_that_are_remembered_are_bounded(clock: Clock) -> None:
    limiter = RequestLimiter(RateLimits(failed_logins_per_minute=math.inf), clock=clock)
    assert all(failing(limiter, f"Bearer {number}") for number in range(REMEMBERED + 50))
    assert len(limiter._wrong) == REMEMBERED


def test_inf_is_no_limit_and_other_numbers_have_to_be_above_0(clock: Clock) -> None:
    limiter = RequestLimiter(RateLimits(reads_per_second=math.inf), clock=clock)
    assert passing(limiter, request("GET", Visitor("ann")), most=5000) == 5000
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidConfig, match=r"acts_per_second=.*: write a number above 0"):
            RateLimits(acts_per_second=wrong)
    with pytest.raises(InvalidConfig, match="write a network"):
        RateLimits(forwarded_by=["proxy"])


def test_the_log_tells_who_is_refused_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RequestLimiter(RateLimits(reads_per_second=0.1), clock=clock)
    for number in range(30):
        passing(limiter, request("GET", Visitor(f"ann\n{number}")))
        passing(limiter, request("GET", Visitor(f"ann\n{number}")))
    text = r"requests of 'name ann\n0' are answered 429: reads_per_second=0.1"
    assert [one.getMessage() for one in caplog.records] == [text]
    clock.now += 60
    passing(limiter, request("GET", Visitor("bob")))
    passing(limiter, request("GET", Visitor("bob")))
    assert "'name bob'" in caplog.records[-1].getMessage()


def test_the_options_of_the_command_have_the_defaults_of_the_app() -> None:
    options = inspect.signature(web).parameters
    for name in ("reads_per_second", "acts_per_second", "failed_logins_per_minute"):
        assert options[name].default == getattr(RateLimits(), name)


# ------------------------------------------------------------------------------ the app

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def answers(
    *requests: tuple[str, str, dict[str, str]], limits: RateLimits, authentication: Authentication | None = None
) -> list[httpx.Response]:
    """Return what an app below a prefix answers to requests, one after the other."""
    found: list[httpx.Response] = []
    whose = Everyone("admin") if authentication is None else authentication
    made: Any = sagakit.web.app(no_client(), read_only=False, authentication=whose, rate_limits=limits)

    async def main() -> None:
        async with visiting(Starlette(routes=[Mount("/ops", made)])) as http:
            for method, path, headers in requests:
                found.append(await http.request(method, path, headers=headers))

    trio.run(main)
    return found


def test_the_api_answers_a_problem_and_pages_are_for_people() -> None:
    reads = ("GET", "/ops/sagas/9/1", BROWSER)
    first, page, api, asset, act, acts = answers(
        reads,
        reads,
        ("GET", "/ops/api/sagas", BROWSER),
        ("GET", "/ops/assets/console.css", {}),
        ("POST", "/ops/api/sagas/Buy", {}),
        ("POST", "/ops/api/sagas/Buy", {}),
        limits=RateLimits(reads_per_second=0.01, acts_per_second=0.01),
    )
    assert [one.status_code for one in (first, page, api, asset, act, acts)] == [404, 429, 429, 200, 415, 429]
    for refused in (page, api, acts):
        assert 0 < int(refused.headers["retry-after"]) <= 100
    assert page.headers["content-type"].startswith("text/html")
    assert "Too Many Requests" in page.text
    assert "0.01 reads per second are allowed here. Try again in" in page.text
    for refused in (api, acts):
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "TooManyRequests"


def test_a_right_token_is_not_looked_at_after_too_many_wrong_ones() -> None:
    def look(token: str, path: str = "/ops/api/none", **headers: str) -> tuple[str, str, dict[str, str]]:
        return "GET", path, {"Authorization": f"Bearer {token}", **headers}

    found = answers(
        look(TOKEN),
        ("GET", "/ops/api/none", {}),
        look("wrong"),
        look("wrong"),
        look("wrong again"),
        look(TOKEN, **BROWSER),
        look(TOKEN, "/ops/stuck", **BROWSER),
        ("GET", "/ops/stuck", BROWSER),
        limits=RateLimits(failed_logins_per_minute=1),
        authentication=Tokens({TOKEN: Visitor("ann")}),
    )
    assert [one.status_code for one in found] == [404, 401, 401, 401, 429, 429, 429, 401]
    problem, page, asked = found[-3:]
    assert (problem.json()["code"], int(problem.headers["retry-after"]) <= 60) == ("TooManyRequests", True)
    assert "1 failed logins per minute are allowed here" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert asked.headers["content-type"].startswith("text/html")
    assert asked.headers["www-authenticate"].startswith("Basic")
