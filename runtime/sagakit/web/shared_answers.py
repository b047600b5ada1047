"""A cache of answers for pages that renew themselves: one answer serves all pages that show the same, for some seconds.

The script of a page asks with `Cache-Control: max-age`, which says how old an answer may be (RFC 9111). So a page costs
about the same whether one visitor keeps it open or fifty do. A visitor who opens a page gets a new answer: they may
have changed something a moment ago.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from starlette.requests import Request
from starlette.responses import Response

from sagakit.web.shared_looks import SHARE
from sagakit.web.time_zones import chosen_zone

OLDEST = 10
"""Greatest age of a shared answer, in seconds, whatever the request says, and however long the answer took."""
MOST, LARGEST = 100, 256 * 1024
"""Answers that are kept, and the bytes of each: larger ones are not shared."""
_AGE = re.compile(r"\bmax-age=(\d{1,3})\b")
Making: TypeAlias = Callable[[], Awaitable[Response]]


def age_for(request: Request) -> int:
    """Return the seconds that an answer may have: more than 0 for the renewal of a page, and for nothing else.

    A browser that loads a page again says 0.
    """
    if request.method != "GET":
        return 0
    found = _AGE.search(request.headers.get("cache-control", ""))
    return 0 if found is None else min(int(found[1]), OLDEST)


class _SharedAnswer:
    """The last answer to one question, when it was asked for, and for how many seconds it serves at least."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.answer: Response | None = None
        self.began = 0.0
        self.lasts = 0.0


class SharedAnswers:
    """The answers of one app that renewals share. For tasks of one event loop; `clock` is monotonic, in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[object, _SharedAnswer] = OrderedDict()

    async def get(self, request: Request, age: int, make: Making) -> Response:
        """Return an answer to the renewal of a page that is at most `age` seconds old: a new one if there is none.

        An answer that took long serves for SHARE times as long. So renewals of one page take a fifth of the time at the
        most. Raises what `make` raises. The next request that waits then calls `make` itself.
        """
        one = self._of(request)
        async with one.lock:
            began = self._clock()
            if one.answer is not None and began - one.began <= max(age, one.lasts):
                return _copy(one.answer)
            one.answer = None
            made = await make()
            if made.status_code in (200, 304) and len(made.body) <= LARGEST:
                one.answer, one.began = made, began
                one.lasts = min(OLDEST, SHARE * (self._clock() - began))
            return made

    def _of(self, request: Request) -> _SharedAnswer:
        """Return the cached answer to a request. Its key has everything by which the answers to visitors differ."""
        scope, tag = request.scope, request.headers.get("if-none-match", "")
        question = (
            scope.get("root_path", ""), scope["path"], scope["query_string"], tag, scope["sagakit.visitor"],
            chosen_zone(request),
        )  # fmt: skip
        one = self._kept.setdefault(question, _SharedAnswer())
        self._kept.move_to_end(question)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return one


def _copy(answer: Response) -> Response:
    """Return a copy of an answer with its headers. A background task of the original is not run again."""
    copy = Response(answer.body, answer.status_code)
    copy.raw_headers = list(answer.raw_headers)
    return copy
