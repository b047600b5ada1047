"""Reject and Retry say what they mean, or are an error where they are made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any

import pytest
from sagakit import Reject, Retry


class Plain(Enum):
    A = "a"


class Text(str, Enum):  # noqa: UP042  # not the same
    A = "a"


class Shown(StrEnum):
    A = "a"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("not shown")


def anyhow(make: Callable[..., Exception], *args: object, **given: object) -> Exception:
    """Calls that a type checker would not let through."""
    return make(*args, **given)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: list[Any] = []
for _ in range(500):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (
            lambda: anyhow(Reject, 404),
            TypeError,
            r"the code of a Reject is text, not 404: say Reject\('not_found', status=404\)",
        ),
        (lambda: anyhow(Reject, Plain.A), TypeError, "the code of a Reject is text, not <Plain.A: 'a'>"),
        (lambda: Reject("\udc80"), ValueError, r"the code of a Reject holds half a character.*'\\udc80'"),
        (lambda: Reject("x", file="\udc80"), ValueError, "its detail cannot be kept as JSON.*: say it as text"),
        (lambda: Reject("x", cycle=CYCLE), ValueError, "its detail cannot be kept as JSON"),
        (lambda: Reject("x", deep=DEEP), ValueError, r"its detail cannot be kept as JSON .*more than 500 levels deep"),
        (lambda: Reject("x", what=Unshowable()), ValueError, r"Reject\('x'\): its detail cannot be kept as JSON"),
        (
            lambda: anyhow(Retry, OSError("x")),
            TypeError,
            r"the reason of a Retry is text, not OSError\('x'\): say Retry\(str",
        ),
        (lambda: Retry("\udc80"), ValueError, "the reason of a Retry holds half a character"),
        (
            lambda: anyhow(Retry, "again", after=1),
            TypeError,
            r"Retry\(after=1\): say a timedelta, such as timedelta\(seconds=5\)",
        ),
    ],
)
def test_what_cannot_be_kept(make: Callable[[], Exception], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        make()


@pytest.mark.parametrize("code", ["a", Text.A, Shown.A])
def test_an_enum_that_is_text_is_its_value(code: str) -> None:
    assert type(Reject(code).code) is str
    assert Reject(code).code == str(Reject(code)) == "a"


def test_what_json_cannot_hold_is_kept_as_its_repr() -> None:
    detail = {"where": object, "when": timedelta(1), "prices": {("a", 1): 2}}
    assert Reject("x", **detail).detail == detail


def test_what_a_retry_says() -> None:
    retry = Retry("busy", after=timedelta(0), not_done=True)
    assert (retry.reason, retry.after, retry.not_done, str(retry)) == ("busy", timedelta(0), True, "busy")
