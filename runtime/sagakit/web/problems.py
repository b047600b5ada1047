"""Errors as answers: problem+json (RFC 9457). Its `code` is the name of the error in sagakit's tree of errors."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from sagakit.errors import DoesNotFit, InvalidFilter, SagakitError, codes_of

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}


class Problem(Exception):
    """An answer that says why a request is not carried out, for what the tree of errors does not have."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status: int = status
        self.code: str = code
        self.headers: Mapping[str, str] = headers or {}
        self.more: Mapping[str, Any] = more


class JsonFault(msgspec.Struct, frozen=True):
    """A part of a value that is wrong: the path to it, such as `$.lines[0].price`, and the reason."""

    path: str
    reason: str


class ProblemLine(msgspec.Struct, frozen=True, kw_only=True):
    """An error. `code` is its name, `detail` says what to do. `faults` names the parts of a value that do not fit."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    faults: list[JsonFault] = []
    column: int | None = None


def as_answer(error: Problem | SagakitError) -> Response:
    """Return the answer for an error."""
    if isinstance(error, Problem):
        return _answer(error.status, error.code, str(error), error.headers, error.more)
    codes = codes_of(error)
    status = 500 if codes is None else codes.status
    return _answer(status, type(error).__name__, str(error), RETRY_AFTER if status == 503 else {}, _facts(error))


def _facts(error: SagakitError) -> Mapping[str, Any]:
    if isinstance(error, InvalidFilter):
        return {"column": error.column}
    if isinstance(error, DoesNotFit) and error.path is not None:
        return {"faults": [JsonFault(error.path, error.reason)]}
    return {}


def _answer(status: int, code: str, detail: str, headers: Mapping[str, str], more: Mapping[str, Any]) -> Response:
    line = ProblemLine(
        type=f"urn:sagakit:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        **more,
    )
    return Response(msgspec.json.encode(line), status, dict(headers), MEDIA_TYPE)
