"""Requests while NATS answers late: what only looks is asked again, and an error says that no answer came in time."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sagakit.web
import trio
from sagakit.errors import Ambiguous, StoreError, StreamMissing, Unavailable
from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire_reading import WireStream
from sagakit.store.ports import Wire
from sagakit.web.visitors import Everyone

from tests.web.test_guard import asked


class Busy:
    """A client of a server that gives the first questions no answer."""

    def __init__(self, *errors: Exception, connected: bool = True) -> None:
        self.errors = list(errors)
        self.wire = SimpleNamespace(connected=connected)

    async def schemas(self) -> Mapping[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return {}


@pytest.mark.parametrize(
    ("method", "client", "status"),
    [
        ("GET", Busy(Ambiguous("no answer in time")), 200),
        ("GET", Busy(Unavailable("broken off")), 200),
        ("GET", Busy(*[Ambiguous("no answer in time")] * 2), 504),
        ("GET", Busy(Unavailable("disconnected"), connected=False), 503),
        ("POST", Busy(Ambiguous("no answer in time")), 504),
    ],
)
def test_what_only_looks_is_asked_again_once_when_a_busy_server_gave_no_answer(
    method: str, client: Any, status: int
) -> None:
    app = sagakit.web.app(client, authentication=Everyone("admin", name="ann"), read_only=False)
    path = "/openapi.json" if method == "GET" else "/api/sagas/Buy"
    given = {} if method == "GET" else {"json": {"input": 1}}
    assert asked(app, method, path, **given).status_code == status


class Refusing:
    """A connection to a server that makes no consumer."""

    def __init__(self, err_code: int) -> None:
        self._answer = b'{"error": {"code": 500, "err_code": %d, "description": "consumer not made"}}' % err_code

    async def request(self, subject: str, payload: bytes = b"") -> bytes:
        return self._answer

    def new_inbox(self) -> str:
        return "_INBOX.1"

    def event(self) -> trio.Event:
        return trio.Event()


@pytest.mark.parametrize(("err_code", "kind"), [(10012, Unavailable), (10059, StreamMissing)])
def test_a_count_that_the_server_has_no_room_for_is_broken_off_like_a_scan(
    err_code: int, kind: type[StoreError]
) -> None:
    stream = WireStream(cast("Wire", Refusing(err_code)), "SAGA_EVENTS", "", refusal)
    with pytest.raises(kind):
        trio.run(stream.counts, ["saga.*.started"])
