"""An export: every saga that fits, once, page by page, whatever is written while the pages turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from math import inf

from sagakit.naming import SagaKey
from sagakit.repository.listing import Records
from sagakit.repository.repository import SagaRepository
from sagakit.repository.wanted import Wanted

PAGE = 500
"""Sagas of one page."""
SLACK = 60.0
"""Seconds by which the order of the pages may differ from that of `updated_at`, which workers write."""


async def pages_of_all(repository: SagaRepository, wanted: Wanted) -> AsyncGenerator[Records]:
    """Yield all sagas that fit and were started before this began, in pages; memory holds their keys only.

    A saga that is written while pages turn moves to the front, behind the reader's back. So the front is read again,
    down to what is older than the last pass, until a pass finds nothing new. Raises StoreError.
    """
    seen: set[str] = set()
    began, passed = inf, -inf
    while True:
        found, cursor, start = 0, None, inf
        while True:
            page = await repository.records(wanted, limit=PAGE, cursor=cursor)
            began, start = min(began, page.as_of), min(start, page.as_of)
            fresh = {
                str(SagaKey(record.saga_type, record.saga_id)): record
                for record in page.records
                if record.created_at <= began + SLACK
            }
            records = [record for key, record in fresh.items() if key not in seen]
            unreadable = [one for one in page.unreadable if one.key not in seen]
            seen.update(fresh, (one.key for one in unreadable))
            found += len(records)
            if records or unreadable:
                yield page._replace(records=records, unreadable=unreadable)
            cursor = page.cursor
            if cursor is None or (page.records and page.records[-1].updated_at < passed - SLACK):
                break
        if not found:
            return
        passed = start
