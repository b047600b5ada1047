"""The bodies of requests: bounded, of the right media type, without unknown fields."""

from __future__ import annotations

import re
from contextlib import aclosing
from datetime import datetime
from typing import Literal, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from sagakit.errors import UNREADABLE
from sagakit.web.problems import JsonFault, Problem

MAX_BODY = 1024 * 1024
"""Bytes of a body, at the most. A saga's own limit is lower on a server with the default `max_payload`."""
B = TypeVar("B", bound=msgspec.Struct)
_PATH = re.compile(r" - at `([^`]+)`$")


def _null() -> msgspec.Raw:
    return msgspec.Raw(b"null")


class StartBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A start. Without an `id` a new one is made up. `at` is a time with a zone, `after` is in seconds."""

    input: msgspec.Raw
    id: str | None = None
    attributes: dict[str, str] = {}
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    message_id: str | None = None
    id_conflict: Literal["return", "error"] = "return"
    at: datetime | None = None
    after: float | None = None


class SignalBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal. One with the same `message_id` is applied once.

    A person gives a `reason`: the events of the saga keep it, with the name that was authenticated. Programs need none.
    `by` and `run` are as for the verbs of operators.
    """

    payload: msgspec.Raw = msgspec.field(default_factory=_null)
    message_id: str | None = None
    reason: str = ""
    by: str | None = None
    run: str | None = None


class CommandBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to the runtime's own stream. One with the same `id` on the same subject is applied once."""

    id: str
    data: msgspec.Raw


class VerbBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb of operators. `reason` is kept in the events of the saga, with the name that was authenticated.

    `by` is a name for acts without authentication. `run` is the saga's life that is meant; without it, the present one.
    """

    reason: str
    by: str | None = None
    run: str | None = None
    message_id: str | None = None


class StepVerbBody(VerbBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb about one step."""

    step: str


class ResultBody(StepVerbBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result that a step gets by hand."""

    result: msgspec.Raw


class JobBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb for all sagas that fit the filter `where`: retry, cancel, compensate or terminate.

    `reason` and `by` are as for one saga. If more sagas than `max_sagas` fit, nothing is done. With the same
    `message_id` no saga takes the verb twice, also if the request is sent again.
    """

    verb: str
    where: str
    reason: str
    by: str | None = None
    max_sagas: int | None = None
    message_id: str | None = None


class LetterBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a dead letter. `reason` is kept in the audit of dead letters; `by` is as for a verb of operators."""

    reason: str
    by: str | None = None


class LetterEditBody(LetterBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new payload of a dead letter: a message as its stream carries it."""

    payload: msgspec.Raw


class ResumeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wish that a job goes on. `by` is a name without authentication; sagas keep the name that began the job."""

    by: str | None = None


async def json_body(request: Request, kind: type[B]) -> B:
    """Return the body of a request. Raises Problem."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "UnsupportedMediaType", "send JSON, with the header Content-Type: application/json")
    try:
        return msgspec.json.decode(await bounded(request), type=kind)
    except UNREADABLE as error:
        path = _PATH.search(str(error))
        faults = [JsonFault("$" if path is None else path[1], _PATH.sub("", str(error)))]
        raise Problem(422, "InvalidInput", f"the body cannot be read: {error}", faults=faults) from None


async def bounded(request: Request, limit: int = MAX_BODY) -> bytes:
    """Return the bytes of a body. Raises Problem if there are too many; it does not read those."""
    found = bytearray()
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                found += chunk
                if len(found) > limit:
                    raise Problem(413, "BodyTooLarge", f"a body may have {limit:,} bytes; keep large data elsewhere")
    except ClientDisconnect:
        raise Problem(400, "Disconnected", "the body did not come to its end") from None
    return bytes(found)
