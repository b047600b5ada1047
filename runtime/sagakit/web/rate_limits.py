"""Rate limits: how many requests one visitor may send. Each visitor has budgets for reads, acts and failed logins."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import NamedTuple

import msgspec
from starlette.requests import HTTPConnection, Request

from sagakit.errors import InvalidConfig
from sagakit.web.addresses import networks_of, place_of_sender
from sagakit.web.gcra import Gcra
from sagakit.web.problems import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
AT_ONCE = 10.0
"""Seconds whose reads and acts may come at once, after a pause."""
REMEMBERED = 1000
"""Wrong logins that are remembered, so that a page that sends its old one every few seconds uses up no budget."""
QUIET = 60.0
"""Seconds between two warnings in the log about the same budget."""
_log = logging.getLogger("sagakit.web")


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that one visitor may send; `math.inf` for no limit.

    A visitor is the name that was authenticated, else the address; of IPv6 the network of 64 bits. Failed logins count
    by the address: after too many, further logins from there are not looked at for a while. `forwarded_by` are networks
    of proxies such as 10.0.0.0/8, whose X-Forwarded-For is believed: without it all visitors behind a proxy have its
    address.
    """

    reads_per_second: float = 200.0
    """Requests that look. Those of ten seconds may come at once. A stream of events counts once, an asset never."""
    acts_per_second: float = 100.0
    """Requests that change something, such as starts. Those of ten seconds may come at once."""
    failed_logins_per_minute: float = 10.0
    """Requests whose Authorization nobody knows. Those of a minute may come at once; a repeated one counts once."""
    forwarded_by: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raise InvalidConfig for a limit that is none."""
        for option in ("reads_per_second", "acts_per_second", "failed_logins_per_minute"):
            if not getattr(self, option) > 0:
                raise InvalidConfig(f"{option}={getattr(self, option)!r}: write a number above 0; inf is no limit")
        networks_of(self.forwarded_by)


class RequestLimiter:
    """The budgets of one app; not for several threads."""

    def __init__(self, limits: RateLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._proxies = networks_of(limits.forwarded_by)
        self._reads = _budget(limits, "reads_per_second", 1.0, AT_ONCE)
        self._acts = _budget(limits, "acts_per_second", 1.0, AT_ONCE)
        self._failures = _budget(limits, "failed_logins_per_minute", 60.0, 60.0)
        self._warnings = Gcra(QUIET, 0.0, secret=token_bytes(32), slots=16)
        self._secret = token_bytes(32)
        self._wrong: dict[bytes, None] = {}

    def check_request(self, request: Request) -> None:
        """Count a request of a visitor. Raises Problem with status 429 if there were too many."""
        visitor = request.scope["sagakit.visitor"]
        who = f"name {visitor.name}" if visitor.known else self._place(request)
        budget = self._reads if request.method in SAFE_METHODS else self._acts
        self._refuse(budget, budget.gcra.take(who, self._clock()), who)

    def check_login(self, connection: HTTPConnection) -> None:
        """Raise Problem with status 429 for a login from where too many have failed. One known as wrong may pass."""
        if _is_login(connection) and self._digest(connection) not in self._wrong:
            who = self._place(connection)
            self._refuse(self._failures, self._failures.gcra.wait(who, self._clock()), who)

    def note_failure(self, connection: HTTPConnection) -> None:
        """Count a request whose sender is not known, if it is a login that has not come before."""
        digest = self._digest(connection)
        if not _is_login(connection) or digest in self._wrong:
            return
        self._failures.gcra.take(self._place(connection), self._clock())
        self._wrong[digest] = None
        if len(self._wrong) > REMEMBERED:
            del self._wrong[next(iter(self._wrong))]

    def _place(self, connection: HTTPConnection) -> str:
        return f"address {place_of_sender(connection, self._proxies)}"

    def _digest(self, connection: HTTPConnection) -> bytes:
        said = connection.headers.get("authorization", "")
        return blake2b(f"{self._place(connection)} {said}".encode(), key=self._secret, digest_size=16).digest()

    def _refuse(self, budget: _Budget, wait: float, who: str) -> None:
        if not wait:
            return
        if not self._warnings.take(budget.option, self._clock()):
            _log.warning("requests of %.200r are answered 429: %s=%g", who, budget.option, budget.allowed)
        seconds = math.ceil(wait)
        again = "1 second" if seconds == 1 else f"{seconds} seconds"
        what = budget.option.replace("_per_", " per ").replace("_", " ")
        text = f"too many requests: {budget.allowed:g} {what} are allowed here. Try again in {again}"
        raise Problem(429, "TooManyRequests", text, headers={"Retry-After": str(seconds)})


class _Budget(NamedTuple):
    option: str
    allowed: float
    gcra: Gcra


def _budget(limits: RateLimits, option: str, seconds: float, at_once: float) -> _Budget:
    """Return the budget of an option that counts in so many seconds. Requests of `at_once` seconds may gather."""
    allowed: float = getattr(limits, option)
    interval = seconds / allowed
    return _Budget(option, allowed, Gcra(interval, max(0.0, at_once - interval), secret=token_bytes(32)))


def _is_login(connection: HTTPConnection) -> bool:
    return "authorization" in connection.headers
