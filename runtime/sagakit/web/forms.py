"""The forms of pages: bounded, of the right media type, one value for each field."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from sagakit.errors import InvalidInput
from sagakit.web.bodies import bounded
from sagakit.web.problems import Problem

MAX_FORM = 256 * 1024
"""Bytes of a form."""
MAX_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises Problem, InvalidInput."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Problem(415, "UnsupportedMediaType", "this takes the form of a page")
    data = await bounded(request, MAX_FORM)
    try:
        found = parse_qs(data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidInput(f"the form cannot be read: {error}") from None
    return {name: values[-1] for name, values in found.items()}
