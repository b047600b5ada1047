"""The guard before every request: which hosts it may name, who sends it, and whether another site has made it.

Each answer gets the headers that keep a browser from running anything but the console's own scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit.web.assets import styles_source
from sagakit.web.problems import Problem
from sagakit.web.rate_limits import SAFE_METHODS, RequestLimiter
from sagakit.web.visitors import Authentication

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of a server on loopback. Another name means that a foreign site has had its own name lead here."""
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {styles_source()}; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


TELLING = " (a browser asks for a name and takes your token as the password, a program sends it as a bearer token)"
"""The ways of those who have a token."""


class Guard:
    """Middleware of ASGI. `hosts` are the names that a request may be for, None for all. `tell` makes refusals."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        hosts: Collection[str] | None,
        limiter: RequestLimiter,
        tell: Callable[[Request, Problem], Response],
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._hosts = hosts
        self._limiter = limiter
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Request(scope))
        except Problem as error:
            await self._tell(Request(scope), error)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _check(self, request: Request) -> None:
        headers = request.headers
        host = headers.get("host", "")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            raise Problem(
                421, "WrongHost", f"this server is not {host[:80]!r}: use one of {', '.join(sorted(self._hosts))}"
            )
        if request.method not in SAFE_METHODS:
            check_same_site(headers, host)
        connection = HTTPConnection(request.scope)
        self._limiter.check_login(connection)
        visitor = self._authentication.visitor(connection)
        if visitor is None:
            self._limiter.note_failure(connection)
            challenge = self._authentication.challenge
            more = {"WWW-Authenticate": challenge} if challenge else {}
            text = f"say who you are{TELLING if challenge else ''}"
            raise Problem(401, "NotAuthenticated", text, headers=more)
        request.scope["sagakit.visitor"] = visitor


def check_same_site(headers: Headers, host: str) -> None:
    """Raise Problem for a change that a page of another site has made a browser send."""
    said = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    foreign = said not in (None, "same-origin", "none")
    if said is None and origin is not None:  # a browser that is too old for the header
        foreign = origin.partition("://")[2] != host
    if foreign:
        raise Problem(403, "OtherSite", "a page of another site has sent this: changes come from here alone")


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()
