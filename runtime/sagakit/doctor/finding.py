"""Findings: the result of each check, with what was found and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from sagakit.doctor.patient import Patient

Grade: TypeAlias = Literal["ok", "warn", "bad", "skipped"]
"""The result of a check. `bad` needs somebody now, `warn` soon. `skipped` was not checked, and the finding says why."""


class Seen(NamedTuple):
    """The outcome of one check. `value` is its number for a time series, in the check's unit."""

    result: Grade
    found: str
    value: float | None = None


class Check(NamedTuple):
    """A check: its stable code, its name, what a finding means, what to do, and the function that looks."""

    code: str
    name: str
    means: str
    advice: str
    look: Callable[[Patient], Awaitable[Seen]]


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The finding of one check. `advice` is empty where nothing is to be done."""

    code: str
    name: str
    result: Grade
    found: str
    means: str
    advice: str
    value: float | None


def ok(found: str, value: float | None = None) -> Seen:
    """Return that all is well."""
    return Seen("ok", found, value)


def warn(found: str, value: float | None = None) -> Seen:
    """Return that somebody should act soon."""
    return Seen("warn", found, value)


def bad(found: str, value: float | None = None) -> Seen:
    """Return that somebody has to act now."""
    return Seen("bad", found, value)


def skipped(why: str) -> Seen:
    """Return that nothing was checked, and why."""
    return Seen("skipped", why)


def graded(found: str, value: float, *, warn_from: float, bad_from: float) -> Seen:
    """Return the result for a number that is better the lower it is."""
    return bad(found, value) if value >= bad_from else warn(found, value) if value >= warn_from else ok(found, value)


def named(names: list[str], most: int = 3) -> str:
    """Return some names for a finding: the first ones, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def span(seconds: float) -> str:
    """Return a length of time in one unit, such as 12 min."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
