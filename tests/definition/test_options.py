"""Options that cannot mean what they say, and functions that could not be called, are errors in a definition."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sagakit import RetryPolicy
from sagakit.definition.policy import MOST_FACTOR
from sagakit.engine.turn import backoff

from tests.definition.mistakes import RESERVE, Mistake, is_refused

PAY = "@step(compensate=None, {})\nasync def pay(self, order: str, ctx: Context) -> str: ...\n"
LIST = "@step(compensate=None)\nasync def items(self, order: str, ctx: Context) -> list[str]: ...\n"
EACH = LIST + "@each(items, {}compensate=None)\nasync def pack(self, order: str, item: str, ctx: Context) -> str: ...\n"


def policy(text: str) -> str:
    """A step with these retries."""
    return PAY.format(f"retry=RetryPolicy({text})")


MISTAKES = [
    Mistake(
        "a partial",
        "async def make(self, order: str, ctx: Context, extra: str) -> str: ...\n"
        "pay = step(compensate=None)(partial(make, extra='x'))",
        r"S\.pay: is functools\.partial.*, which is not a function: write a method that calls it",
    ),
    Mistake(
        "a callable object",
        "class Pay:\n    async def __call__(self, saga: S, order: str, ctx: Context) -> str: ...\n"
        "pay = step(compensate=None)(Pay())",
        r"S\.pay: is .*Pay object.*, which is not a function: write a method that calls it",
    ),
    Mistake(
        "a static method",
        "@step(compensate=None)\n@staticmethod\nasync def pay(order: str, ctx: Context) -> str: ...",
        r"S\.pay: is called with the saga as self: remove @staticmethod",
    ),
    Mistake(
        "one compensation for two steps",
        "@step\nasync def pay(self, order: str, ctx: Context) -> str: ...\n"
        + RESERVE.replace("@reserve", "@pay.compensate\n@reserve"),
        r"S\.pay's compensation: is .*Undo.*, which is not a function",
    ),
    Mistake(
        "a keyword parameter",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context, *, must: int) -> str: ...",
        r"S\.pay: takes must by keyword, but is called by position",
    ),
    Mistake(
        "a condition that nobody awaits",
        "async def large(order: str, ctx: Context) -> bool: ...\n" + PAY.format("when=large"),
        r"S\.pay: when is a coroutine function, and nobody awaits it: make it a plain function",
    ),
    Mistake(
        "a condition that yields",
        "def large(order: str, ctx: Context) -> Any:\n    yield\n" + PAY.format("when=large"),
        r"S\.pay: when is a generator function",
    ),
    Mistake(
        "a condition without context",
        PAY.format("when=lambda order: True"),
        r"S\.pay: when is called with \(input, ctx\), but takes \(order\)",
    ),
    Mistake("a condition that is an answer", PAY.format("when=True"), r"S\.pay: when is True, which is not a function"),
    Mistake(
        "an output that nobody awaits",
        RESERVE + "async def output(self, input: str, ctx: Context) -> int: ...",
        r"S\.output: is a coroutine function, and nobody awaits it",
        "class S(Saga[str, int]):",
    ),
    Mistake(
        "an output without context",
        RESERVE + "def output(self, input: str) -> int: ...",
        r"S\.output: is called with \(self, input, ctx\), but takes",
        "class S(Saga[str, int]):",
    ),
    Mistake(
        "an output of another type",
        RESERVE + "def output(self, input: str, ctx: Context) -> str: ...",
        r"S\.output: returns str, but the output type is None: say which in class S\(Saga\[Input, Output\]\)",
    ),
    Mistake(
        "a migration that nobody awaits",
        RESERVE + "async def migrate(self, old: Any) -> None: ...",
        r"S\.migrate: is a coroutine function, and nobody awaits it",
    ),
    Mistake("backend", RESERVE, r"S: backend='anyio': say 'trio' or 'asyncio'", "class S(Saga[str], backend='anyio'):"),
    Mistake("backend of a step", PAY.format("backend='anyio'"), r"S\.pay: backend='anyio': say 'trio'"),
    Mistake(
        "what to do in doubt", PAY.format("on_unknown='rety'"), r"S\.pay: on_unknown='rety': say 'retry' or 'check'"
    ),
    Mistake(
        "a check for each", EACH.format("on_unknown='check', "), r"S\.pack: on_unknown='check': say 'retry' or 'undo'"
    ),
    Mistake(
        "half a call at once", EACH.format("max_concurrent=2.5, "), r"S\.pack: max_concurrent=2\.5: say a whole number"
    ),
    Mistake(
        "items that nobody awaits",
        "async def parts(items: Any) -> list[str]: ...\n" + EACH.format("parts, "),
        r"S\.pack: what computes its items is a coroutine function",
    ),
    Mistake(
        "what to do without a signal",
        "told = signal(str, timeout=timedelta(1), on_timeout='proceed')",
        r"S\.told: on_timeout='proceed': say 'compensate' or 'continue'",
    ),
    Mistake("a signal's timeout", "told = signal(str, timeout=5)", r"S\.told: timeout=5: say a timedelta, such as"),
    Mistake(
        "a number as a time", "rest = timer(5)", r"S\.rest: wait=5: say a timedelta, such as timedelta\(seconds=5\)"
    ),
    Mistake(
        "a time that nobody awaits",
        "async def until(order: str, ctx: Context) -> timedelta: ...\nrest = timer(until)",
        r"S\.rest: what computes its time is a coroutine function",
    ),
    Mistake(
        "an input made without context",
        "class Other(Saga[str]):\n    rest = timer(timedelta(1))\npart = child(Other, lambda order: order)",
        r"S\.part: what makes its input is called with \(input, ctx\), but takes \(order\)",
    ),
    Mistake(
        "a deadline in the past",
        RESERVE,
        "S: deadline=.* must be positive",
        "class S(Saga[str], deadline=-timedelta(1)):",
    ),
    Mistake(
        "no time at all", RESERVE, "S: deadline=0:00:00 must be positive", "class S(Saga[str], deadline=timedelta(0)):"
    ),
    Mistake("a number as deadline", RESERVE, "S: deadline=5: say a timedelta", "class S(Saga[str], deadline=5):"),
    Mistake(
        "a version that is no number", RESERVE, "S: version='2': say a whole number", "class S(Saga[str], version='2'):"
    ),
    Mistake("a number as timeout", PAY.format("timeout=5"), r"S\.pay: timeout=5: say a time"),
    Mistake("a number as heartbeat", PAY.format("heartbeat_timeout=5"), r"S\.pay: heartbeat_timeout=5: say a time"),
    Mistake(
        "heartbeats that no participant sends so fast",
        "from sagakit import remote\n"
        "pay = remote('a.b', str, send=str, compensate=None, heartbeat_timeout=timedelta(seconds=1))",
        r"S\.pay: heartbeat_timeout=0:00:01: say at least 3 seconds",
    ),
    Mistake(
        "a number as a compensation's timeout",
        RESERVE.replace(".compensate", ".compensate(timeout=5)"),
        r"S\.reserve: its compensation's timeout=5: say a timedelta",
    ),
    Mistake("a number as retries", PAY.format("retry=5"), r"S\.pay: retry=5: say RetryPolicy\(\.\.\.\)"),
    Mistake("a word as limit", PAY.format("limit='psp'"), r"S\.pay: limit='psp': say Limit\(\.\.\.\)"),
    Mistake(
        "half a call",
        PAY.format("limit=Limit('psp', max_concurrent=2.5)"),
        r"Limit\('psp'\): max_concurrent=2\.5: say a whole number",
    ),
    Mistake(
        "no call",
        PAY.format("limit=Limit('psp', max_concurrent=0)"),
        r"Limit\('psp'\): max_concurrent=0 must be at least 1",
    ),
    Mistake("no rate", PAY.format("limit=Limit('psp', per_second=0)"), r"per_second=0: say a number, more than 0"),
    Mistake("no number", PAY.format("limit=Limit('psp', per_second=float('nan'))"), "per_second=nan: say a number"),
    Mistake(
        "an instance as a child",
        "class Other(Saga[str]):\n    rest = timer(timedelta(1))\npart = child(Other(), lambda order, ctx: order)",
        r"S\.part: is a child of Other\(\.\.\.\): say a Saga class",
    ),
    Mistake(
        "half an attempt",
        policy("max_attempts=2.5"),
        r"max_attempts=2\.5: say a whole number, or None to retry forever",
    ),
    Mistake("waits that are no number", policy("multiplier=float('nan')"), "multiplier=nan: say a number from 1"),
    Mistake("waits without end", policy("multiplier=float('inf')"), "multiplier=inf: say a number from 1"),
    Mistake("waits beyond floats", policy("multiplier=1e5"), r"multiplier=100000\.0: .* to 1000"),
    Mistake(
        "a number as a wait", policy("initial_interval=0.2"), r"RetryPolicy: initial_interval=0\.2: say a timedelta"
    ),
    Mistake(
        "no exception", policy("reject_on=[ValueError, 'KeyError']"), "reject_on: 'KeyError' is not an exception class"
    ),
    Mistake(
        "an exception", policy("not_done_on=[ValueError()]"), r"not_done_on: ValueError\(\) is not an exception class"
    ),
    Mistake(
        "a type for type checkers only",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context) -> Decimal: ...",
        r"S\.pay: Decimal is not known at run time: define it, or import it not only under `if TYPE_CHECKING`",
    ),
    Mistake(
        "a field's type for type checkers only",
        "@step(compensate=None)\nasync def pay(self, order: Priced, ctx: Context) -> None: ...",
        r"S\.input: within Priced: Decimal is not known at run time",
        "@dataclass\nclass Priced:\n    price: Decimal\nclass S(Saga[Priced]):",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "_"))
def test_mistake(mistake: Mistake, tmp_path: Path) -> None:
    is_refused(mistake, tmp_path)


@pytest.mark.parametrize("given", [ValueError, [ValueError], {ValueError}, iter([ValueError])])
def test_exceptions_may_be_named_in_any_iterable(given: Any) -> None:
    policy = RetryPolicy(reject_on=given, not_done_on=(KeyError, OSError))
    assert policy.reject_on == (ValueError,)
    assert policy.not_done_on == (KeyError, OSError)


def test_the_largest_factor_can_be_computed() -> None:
    policy = RetryPolicy(max_attempts=None, multiplier=MOST_FACTOR, max_interval=timedelta.max)
    assert 0 < backoff(policy.as_data(), 10**6, 1.0) <= timedelta.max.total_seconds()
