"""The command on a terminal that shows what a page of the console shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TypeAlias

from starlette.datastructures import QueryParams

Words: TypeAlias = Sequence[str]
PREVIEW: Words = ("--dry-run", "--reason", "preview")
"""The options of a verb that changes nothing yet, as the page of its preview."""


def command_for(path: str, query: QueryParams, namespace: str) -> str:
    """Return the command for the page at a path below the prefix of the app; empty if there is none."""
    for pattern, words_of in _PAGES:
        if found := pattern.fullmatch(path):
            words = ["sagakit", *words_of(found, query), *_option("namespace", namespace)]
            command = shlex.join(words)
            return command if command.isprintable() else ""  # else what is copied would not be what is seen
    return ""


def _option(name: str, value: str) -> Words:
    return (f"--{name}", value) if value else ()


def _listed(found: re.Match[str], query: QueryParams) -> Words:
    columns = ",".join(query.getlist("column"))
    return "list", *_option("where", query.get("where", "").strip()), *_option("columns", columns)


def _saga(found: re.Match[str], query: QueryParams) -> Words:
    return "replay" if query.get("at") else "describe", f"{found[1]}.{found[2]}"


def _signal(found: re.Match[str], query: QueryParams) -> Words:
    return "signal", f"{found[1]}.{found[2]}", found[3], *PREVIEW


def _fitting(found: re.Match[str], query: QueryParams) -> Words:
    return query.get("verb", ""), "--where", query.get("where", ""), *PREVIEW


def _letters(found: re.Match[str], query: QueryParams) -> Words:
    return "dead-letters", "list", *_fits(query)


def _letters_changed(found: re.Match[str], query: QueryParams) -> Words:
    return "dead-letters", query.get("verb", ""), *(_fits(query) or ("--all",)), *PREVIEW


def _fits(query: QueryParams) -> Words:
    options = (("subject", "subject"), ("reason-contains", "reason_contains"))
    return tuple(word for option, name in options for word in _option(option, query.get(name, "").strip()))


def _always(*words: str) -> Callable[[re.Match[str], QueryParams], Words]:
    return lambda found, query: words


_PAGES: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str], QueryParams], Words]]] = tuple(
    (re.compile(path), words_of)
    for path, words_of in (
        ("/", _always("count")),
        ("/stuck", _always("groups")),
        ("/sagas", _listed),
        ("/sagas/act", _fitting),
        ("/sagas/([^/]+)/([^/]+)", _saga),
        ("/sagas/([^/]+)/([^/]+)/signals/([^/]+)", _signal),
        ("/jobs(?:/[^/]+)?", _always("jobs")),
        ("/workers", _always("workers")),
        ("/audit", lambda found, query: ("audit", *_option("by", query.get("by", "")))),
        ("/dead-letters", _letters),
        ("/dead-letters/act", _letters_changed),
        ("/dead-letters/([0-9]+)", lambda found, query: ("dead-letters", "show", found[1])),
    )
)
"""The pages that have a command: the pattern of the path, and the words of the command."""
