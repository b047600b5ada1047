"""Time zones: in which one pages tell times. A visitor chooses it, and the browser keeps it in a cookie."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from starlette.requests import Request

COOKIE = "sagakit_zone"
"""The cookie that has the name of the zone."""
KEPT = 365 * 24 * 3600
"""Seconds that a browser keeps the cookie."""


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of all zones, in order."""
    return tuple(sorted({"UTC", *available_timezones()}))


def chosen_zone(request: Request) -> str:
    """Return the name of the zone that the visitor has chosen; empty if none, or none that is known here."""
    name = request.cookies.get(COOKIE, "")
    return name if name in zone_names() else ""


def zone_of(request: Request) -> tzinfo:
    """Return the zone in which the visitor reads times: UTC unless another one was chosen."""
    name = chosen_zone(request)
    return UTC if name in ("", "UTC") else ZoneInfo(name)


def clock(time: datetime, zone: tzinfo, timespec: Literal["milliseconds", "seconds"] = "milliseconds") -> str:
    """Return a time in a zone, with its distance from UTC, so that it cannot be taken for one of another zone."""
    text = time.astimezone(zone).isoformat(sep=" ", timespec=timespec)
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
