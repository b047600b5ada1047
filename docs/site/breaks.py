"""Places in tables at which the long name of a test may begin a new line: after its words, not within them."""

from __future__ import annotations

import re
from typing import Any

_CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
_CODE = re.compile(r"(?<=<code>)[^<]+(?=</code>)")
_PART = re.compile(r"::|/(?=\w)|(?<!test)_(?=\w)")
SHORTEST = 20
"""The number of characters from which on a name may be broken."""


def breakable(html: str) -> str:
    """Return the HTML of a page with these places in the cells of its tables."""
    return _CELL.sub(lambda cell: _CODE.sub(_with_places, cell[0]), html)


def _with_places(code: re.Match[str]) -> str:
    return (
        code[0] if len(code[0]) < SHORTEST or "://" in code[0] else _PART.sub(lambda part: f"{part[0]}<wbr>", code[0])
    )


def on_page_content(html: str, **rest: Any) -> str:
    """Return the content of a page with these places."""
    return breakable(html)
