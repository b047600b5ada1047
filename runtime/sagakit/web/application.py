"""`app`: the console and the HTTP API as an ASGI app."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from sagakit.client.redaction import Redaction
from sagakit.errors import Ambiguous, SagakitError, Unavailable
from sagakit.web import (
    audit_page,
    filter_acts,
    fleet_pages,
    group_acts,
    job_page,
    letter_pages,
    list_page,
    overview_page,
    pages,
    signal_forms,
    start_page,
    zone_page,
)
from sagakit.web.assets import send_asset
from sagakit.web.endpoints import ENDPOINTS, Handler
from sagakit.web.guard import Guard
from sagakit.web.looking import as_json, wait_of
from sagakit.web.openapi import describe_api
from sagakit.web.pages import as_page
from sagakit.web.problems import Problem, as_answer
from sagakit.web.rate_limits import SAFE_METHODS, RateLimits, RequestLimiter
from sagakit.web.rates import Rates
from sagakit.web.shared_answers import SharedAnswers, age_for
from sagakit.web.shared_looks import Looks
from sagakit.web.visitors import Authentication, Everyone, Rank, Visitor, check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

ClientSource: TypeAlias = "Client | Callable[[], Client]"
"""A client, or a function that returns one, for an app that is made before the client is open."""
Telling: TypeAlias = Callable[[Request, Problem | SagakitError], Response]
PAGES: tuple[tuple[str, str, Rank, Handler], ...] = (
    ("GET", "/", "viewer", overview_page.show_overview),
    ("GET", "/stuck", "viewer", pages.show_stuck),
    ("GET", "/stuck/act", "operator", group_acts.preview_act),
    ("POST", "/stuck/act", "operator", group_acts.run_act),
    ("GET", "/jobs", "viewer", job_page.show_jobs),
    ("GET", "/jobs/{id}", "viewer", job_page.show_job),
    ("POST", "/jobs/{id}/resume", "operator", job_page.take_resume),
    ("GET", "/sagas", "viewer", list_page.show_sagas),
    ("GET", "/sagas/act", "operator", filter_acts.preview_act),
    ("POST", "/sagas/act", "operator", filter_acts.run_act),
    ("GET", "/sagas/{type}/{id}", "viewer", pages.show_saga),
    ("GET", "/definitions", "viewer", fleet_pages.show_definitions),
    ("GET", "/definitions/{type}", "viewer", fleet_pages.show_definition),
    ("GET", "/definitions/{type}/start", "viewer", start_page.show_start),
    ("POST", "/definitions/{type}/start", "operator", start_page.take_start),
    ("GET", "/workers", "viewer", fleet_pages.show_workers),
    ("GET", "/audit", "viewer", audit_page.show_audit),
    ("GET", "/dead-letters", "viewer", letter_pages.show_letters),
    ("GET", "/dead-letters/act", "operator", letter_pages.preview_letters),
    ("POST", "/dead-letters/act", "operator", letter_pages.take_letters_form),
    ("GET", "/dead-letters/{letter}", "viewer", letter_pages.show_letter),
    ("POST", "/dead-letters/{letter}/{verb}", "operator", letter_pages.take_letter_form),
    ("GET", "/sagas/{type}/{id}/signals/{name}", "viewer", signal_forms.show_signal),
    ("POST", "/sagas/{type}/{id}/signals/{name}", "operator", signal_forms.take_signal),
    ("POST", "/sagas/{type}/{id}/terminate", "admin", pages.take_form),
    ("POST", "/sagas/{type}/{id}/{verb}", "operator", pages.take_form),
    ("GET", "/time-zone", "viewer", zone_page.show_zone),
    ("POST", "/time-zone", "viewer", zone_page.take_zone),
    ("GET", "/assets/{name}", "viewer", send_asset),
)
"""The pages of the console: method, path, role and handler. The first path that fits counts."""
PATIENCE = 30.0
"""Seconds that a request gets, besides those that it prefers to wait. Outages end it, too."""
_log = logging.getLogger("sagakit.web")


def app(
    client: ClientSource,
    *,
    authentication: Authentication | None = None,
    read_only: bool = True,
    hosts: Collection[str] | None = None,
    secret: str | None = None,
    rate_limits: RateLimits | None = None,
    redact: Collection[str] = (),
) -> Starlette:
    """Return the console and the HTTP API over a client, as an ASGI app for asyncio or trio: where the client is open.

        service = FastAPI(lifespan=lifespan)  # which opens the client
        service.mount("/sagas", sagakit.web.app(lambda: service.state.client))

    With `read_only` nobody changes anything, whatever the role. Without an `authentication` everyone who reaches the
    app is a viewer: put it behind the login of your service. `hosts` are the names that requests may be for, without
    ports; None for all. Give a `secret` text where several processes serve one console: its forms are signed with it.
    `rate_limits` are for each visitor of this process; the default ones are far above what people need. `redact` has
    the paths of fields whose values nobody sees, such as `password`, `card.number` or `input.*token*`: see
    docs/console.md. What the client's `payload_codec` opens, visitors see; of other sealed values they see which key
    it takes. Raises InvalidConfig.
    """
    whose = Everyone() if authentication is None else authentication
    limiter = RequestLimiter(RateLimits() if rate_limits is None else rate_limits)
    key = secrets.token_bytes(32) if secret is None else secret.encode()
    common = _Common(client, read_only, key, limiter, Redaction(redact))
    routes = [
        Route(one.path, _Served(one.handler, one.rank, common), methods=[one.method], name=one.name)
        for one in ENDPOINTS
    ]
    routes += [
        Route(path, _Served(handler, rank, common, as_page), methods=[method]) for method, path, rank, handler in PAGES
    ]
    routes.append(Route("/openapi.json", _Served(show_description, "viewer", common), methods=["GET"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, authentication=whose, hosts=hosts, limiter=limiter, tell=as_told)],
        exception_handlers={HTTPException: partial(_not_routed, read_only)},
    )


def as_problem(request: Request, error: Problem | SagakitError) -> Response:
    """Return the answer of the API for an error."""
    return as_answer(error)


def as_told(request: Request, error: Problem) -> Response:
    """Return the answer for a request that no endpoint has got: a page for a browser, except from the API."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return as_problem(request, error)
    request.scope.setdefault("sagakit.visitor", Visitor("", known=False))
    request.scope.setdefault("sagakit.read_only", True)
    return as_page(request, error)


async def show_description(request: Request, client: Client) -> Response:
    """Return the description of the API in OpenAPI 3.1."""
    return as_json(describe_api(await client.schemas(), request.scope.get("root_path", "")))


async def _not_routed(read_only: bool, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "HttpError")
    request.scope["sagakit.read_only"] = read_only
    detail = f"there is nothing at {request.url.path[:200]}" if error.status_code == 404 else error.detail
    return as_told(request, Problem(error.status_code, code, detail, headers=error.headers))


class _Common:
    """The things that all endpoints of one app share."""

    def __init__(
        self, source: ClientSource, read_only: bool, secret: bytes, limiter: RequestLimiter, redaction: Redaction
    ) -> None:
        self._source = source
        self.limiter = limiter
        self.read_only = read_only
        self.secret = secret
        self.redaction = redaction
        self.streams: set[object] = set()
        self.looks = Looks()
        self.answers = SharedAnswers()
        self.rates = Rates()

    def client(self) -> Client:
        source = self._source
        return source() if callable(source) else source


class _Served:
    """An endpoint as an ASGI app: checks the role, bounds the time, and answers errors."""

    def __init__(self, handler: Handler, rank: Rank, common: _Common, tell: Telling = as_problem) -> None:
        self._tell = tell
        self._handler = handler
        self._rank: Rank = rank
        self._common = common

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        common = self._common
        scope["sagakit.streams"], scope["sagakit.secret"] = common.streams, common.secret
        scope["sagakit.read_only"], scope["sagakit.looks"] = common.read_only, common.looks
        scope["sagakit.rates"], scope["sagakit.redaction"] = common.rates, common.redaction
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, noting)
        except (Problem, SagakitError) as error:
            await self._answer_error(error, begun, scope, receive, send)
        except Exception as error:  # a fault of ours: the visitor is told, and the log has it
            _log.exception("%s %s", scope["method"], scope["path"], exc_info=error)
            text = "something is wrong here, and the log of this process has the traceback"
            await self._answer_error(Problem(500, "InternalError", text), begun, scope, receive, send)

    async def _answer_error(
        self, error: Problem | SagakitError, begun: bool, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not begun:  # else the visitor has a part of an answer, and gets no more
            with suppress(ClientDisconnect):
                await self._tell(Request(scope), error)(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if self._handler is not send_asset:  # which costs no more than a refusal
            self._common.limiter.check_request(request)
        check_may(request.scope["sagakit.visitor"], self._rank, read_only=self._common.read_only)
        try:
            with anyio.fail_after(PATIENCE + (wait_of(request) or 0)):
                client = request.scope["sagakit.client"] = self._common.client()
                age = request.scope["sagakit.age"] = age_for(request) if self._tell is as_page else 0
                if age:
                    return await self._common.answers.get(request, age, partial(self._handled, request, client))
                return await self._handled(request, client)
        except TimeoutError:
            text = "no answer in time: NATS is away, or too much has to be read; a change may still be carried out"
            raise Problem(504, "Timeout", text) from None

    async def _handled(self, request: Request, client: Client) -> Response:
        """Return the answer of the handler. One that only looks gets a second chance if the server was busy for long.

        Its questions are lost then, and it may ask again. While the connection is down, nothing can be asked.
        """
        try:
            return await self._handler(request, client)
        except (Ambiguous, Unavailable):
            if request.method not in SAFE_METHODS or not client.wire.connected:
                raise
        return await self._handler(request, client)
