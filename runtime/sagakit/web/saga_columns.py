"""The columns of the list of sagas: those that a visitor has chosen, in the address of the page."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from sagakit.client.json_shapes import SagaLine
from sagakit.client.list_columns import ATTRIBUTE, COLUMNS, attribute_of, checked_columns

USUAL: Sequence[str] = ("type", "status", "at", "changed", "error")
"""The columns of a page whose address names none."""
OFFERED = 20
"""Attributes that a page offers as columns, at the most."""


def columns_in(request: Request) -> Sequence[str]:
    """Return the columns that the address of a page names. Raises InvalidInput."""
    return checked_columns(request.query_params.getlist("column"))


def offered_columns(chosen: Sequence[str], items: Sequence[SagaLine]) -> Sequence[str]:
    """Return the columns from which a visitor may choose: also an attribute that a saga of the page has."""
    attributes = {ATTRIBUTE + name for one in items for name in one.attributes if name}
    kept = [name for name in chosen if attribute_of(name)]
    return [*COLUMNS, *dict.fromkeys([*kept, *sorted(attributes)[:OFFERED]])]
