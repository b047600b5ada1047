"""Rendering: templates with values that are escaped and made visible."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.json_shapes import GroupLine
from sagakit.client.list_columns import attribute_of
from sagakit.naming import SagaKey, encode_id
from sagakit.repository.groups import VARYING_SIGN
from sagakit.web.assets import asset_path, styles
from sagakit.web.problems import Problem
from sagakit.web.terminal import command_for
from sagakit.web.time_zones import clock, zone_of
from sagakit.web.waits import timing

SHAPES: Mapping[str, str] = {
    "running": "◐", "compensating": "↶", "stuck": "▲", "completed": "✓", "failed": "✕", "delayed": "◷",
}  # fmt: skip
"""A shape for each status, so that colors are not needed to tell them apart."""
TONES: Mapping[str, str] = {
    "done": "completed", "undone": "compensating", "skipped": "quiet", "not_done": "failed", "pending": "quiet",
    "running": "running", "checking": "running", "spread": "running", "undoing": "compensating",
    "sent": "running", "check_sent": "running", "undo_sent": "compensating",
    "waiting": "delayed", "check_waiting": "delayed", "undo_waiting": "delayed", "awaiting": "delayed",
    "asked": "stuck", "blocked": "stuck", "undo_failed": "stuck", "doubtful": "stuck",
}  # fmt: skip
"""The status whose color and shape the state of a step has; `quiet` for none."""
WHOLE, LISTED, ONE = 10, 5, 2
"""Seconds between two looks: of a page about all sagas, which reads the most; of a list; of one saga."""
MAX_SHOWN = 64 * 1024
"""Characters of one text that a page shows."""
MAX_PATTERN = 120
_WITHIN_A_WORD = re.compile(r",(?=\S)")


def visible(text: object, *, keep: str = "") -> str:
    """Return a text in which each character that would be invisible, or would steer a page or terminal, has its code.

    So marks that turn the direction of writing show as <U+202E>. Texts that are too long are cut.
    """
    found = str(text)
    if len(found) <= MAX_SHOWN and found.isprintable():  # most are
        return found
    shown = "".join(
        char if char.isprintable() or char in keep else f"<U+{ord(char):04X}>" for char in found[:MAX_SHOWN]
    )
    return shown if len(found) <= MAX_SHOWN else f"{shown} … ({len(found):,} characters)"


def breaks(text: str) -> Markup:
    """Return JSON as a page has it: a line that is too long is broken after a comma, before it is within a word."""
    return Markup(_WITHIN_A_WORD.sub(",<wbr>", str(escape(text))))


def visible_lines(text: object) -> str:
    """Return a text of several lines, made visible."""
    return visible(text, keep="\n")


def as_text(value: object) -> str:
    """Return a value as JSON for people. Numbers keep their digits."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def ago(time: datetime, now: float) -> str:
    """Return how long ago a time was, or how long it is until then, in one unit."""
    seconds = now - time.timestamp()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            text = f"{abs(seconds) // length:.0f} {unit}"
            break
    else:
        text = f"{abs(seconds):.0f} s"
    return f"{text} ago" if seconds >= 0 or text == "0 s" else f"in {text}"


def since(time: datetime, now: float) -> str:
    """Return how long ago a time was, as a length of time."""
    return ago(time, max(now, time.timestamp())).removesuffix(" ago")


def lasted(duration: Any) -> str:
    """Return a duration in one unit."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def group_filter(group: GroupLine) -> str:
    """Return a filter for the sagas of a group: its type, its step and the longest part of its error."""
    parts = [f'type = "{group.type}" and status = stuck']
    if group.step:
        parts.append(f'step = "{group.step}"')
    if pattern := _pattern(group.error):
        parts.append(f'error ~ "{pattern}"')
    return " and ".join(parts)


def _pattern(error: str) -> str:
    """Return a part of an error that is in all errors of its group, for `~`: without the signs that it reads."""
    longest = ""
    for part in error.split(VARYING_SIGN):
        for piece in part.replace("\\", "*").replace('"', "*").replace("(?", "*").replace("\n", "*").split("*"):
            plain = piece.strip(" ^$.")
            longest = plain if len(plain) > len(longest) else longest
    return longest[:MAX_PATTERN]


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("sagakit.web"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    found.filters.update(
        visible=visible, breaks=breaks, visible_lines=visible_lines, json=as_text, clock=clock, ago=ago, since=since,
        lasted=lasted, timing=timing, token=encode_id, group_filter=group_filter, attribute=attribute_of,
        tone=lambda state: TONES.get(state, ""), shape=lambda state: SHAPES.get(TONES.get(state, ""), "·"),
        asset=asset_path,
    )  # fmt: skip
    found.globals["shapes"] = SHAPES
    found.globals["styles"] = Markup(styles())
    return found


def page(request: Request, template: str, *, status: int = 200, tag: str = "", **values: Any) -> Response:
    """Return a page: without its styles for one that renews itself, which no browser keeps therefore."""
    renewal = request.scope.get("sagakit.age", 0) > 0
    text = (
        _environment()
        .get_template(f"{template}.html")
        .render(
            root=request.scope.get("root_path", ""),
            visitor=request.scope["sagakit.visitor"],
            read_only=request.scope["sagakit.read_only"],
            tag=tag,
            renewal=renewal,
            zone=zone_of(request),
            way_back=_way_back(request),
            command=_command(request) if status == 200 and request.method == "GET" else "",
            **values,
        )
    )
    headers = {"ETag": tag, "Cache-Control": "no-store" if renewal else "no-cache"} if tag else {}
    return Response(text, status, headers, "text/html")


def _way_back(request: Request) -> str:
    """Return the address of a page below the prefix of the app, as a value in a query."""
    if request.method != "GET":
        return ""
    query = request.url.query
    return quote(f"{_path(request)}?{query}" if query else _path(request))


def _command(request: Request) -> str:
    return command_for(_path(request), request.query_params, request.scope["sagakit.client"].names.namespace)


def _path(request: Request) -> str:
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def place_of(request: Request, address: SagaKey) -> str:
    """Return the path of the page of a saga."""
    return f"{request.scope.get('root_path', '')}/sagas/{str(address).replace('.', '/', 1)}"


def form_token(request: Request) -> str:
    """Return the token of the visitor's forms, which a page of another site cannot know."""
    visitor = request.scope["sagakit.visitor"]
    return hmac.new(request.scope["sagakit.secret"], f"{visitor.rank} {visitor.name}".encode(), sha256).hexdigest()


def check_form_token(request: Request, token: str) -> None:
    """Raise Problem unless a form comes from a page of this visitor."""
    if not hmac.compare_digest(form_token(request).encode(), token.encode()):
        raise Problem(403, "OldPage", "the page is too old, or of another visitor: load it again, then try once more")
