"""Mistakes in a definition are errors when the class is created, and say what to do."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest
from sagakit import DefinitionError

from tests.definition.mistakes import RESERVE, Mistake, is_refused, load

BARE = """
def bare(fn):
    def wrapper(*a, **k):
        return fn(*a, **k)
    return wrapper

def typed(fn: Any) -> Any:
    async def wrapper(*a: Any, **k: Any) -> Any:
        return await fn(*a, **k)
    return wrapper

"""

MISTAKES = [
    Mistake("no steps", "pass", "has no steps: write at least one method with @step"),
    Mistake("no input type", RESERVE, r"say what its input is: class S\(Saga\[Input, Output\]\)", "class S(Saga):"),
    Mistake(
        "missing compensation",
        "@step\nasync def reserve(self, order: str, ctx: Context) -> str: ...",
        r"S\.reserve: has no compensation: write one with @reserve\.compensate, or say compensate=None",
    ),
    Mistake(
        "compensation denied and written",
        RESERVE.replace("@step", "@step(compensate=None)"),
        "says compensate=None and has a compensation",
    ),
    Mistake(
        "two compensations",
        RESERVE + "@reserve.compensate\nasync def again(self, order: str, held: str | None, ctx: Context) -> None: ...",
        "has two compensations: remove one",
    ),
    Mistake(
        "duplicate name",
        RESERVE + RESERVE.replace("release", "free"),
        "reserve is defined twice in one saga: give the second another name",
    ),
    Mistake(
        "later step",
        "late: Any = None\n"
        + RESERVE.replace("@step", "@step(late)")
        + "@step(compensate=None)\nasync def late(self, order: str, ctx: Context) -> str: ...",
        "takes the steps it comes after, not None",
    ),
    Mistake(
        "foreign step",
        "class Other(Saga[str]):\n"
        "    @step(compensate=None)\n"
        "    async def first(self, order: str, ctx: Context) -> str: ...\n"
        "@step(Other.first, compensate=None)\n"
        "async def second(self, order: str, first: str, ctx: Context) -> str: ...",
        "comes after first, which is not a step of this saga",
    ),
    Mistake(
        "two pivots",
        "@step(pivot=True)\nasync def a(self, order: str, ctx: Context) -> str: ...\n"
        "@step(pivot=True)\nasync def b(self, order: str, ctx: Context) -> str: ...",
        "a is the pivot already: a saga has at most one",
    ),
    Mistake(
        "beside the pivot",
        RESERVE
        + "@step(reserve, pivot=True)\nasync def ship(self, order: str, held: str, ctx: Context) -> str: ...\n"
        + "@step(reserve, compensate=None)\nasync def tell(self, order: str, held: str, ctx: Context) -> str: ...",
        "S.tell: comes neither before nor after the pivot ship",
    ),
    Mistake(
        "compensation after the pivot",
        "@step(pivot=True)\nasync def ship(self, order: str, ctx: Context) -> str: ...\n"
        "@step\nasync def mail(self, order: str, ctx: Context) -> str: ...\n"
        "@mail.compensate\nasync def unmail(self, order: str, mail: str | None, ctx: Context) -> None: ...",
        "S.mail: has a compensation, but from the pivot on nothing is undone",
    ),
    Mistake(
        "undo in doubt after the pivot",
        "@step(pivot=True, on_unknown='undo')\nasync def ship(self, order: str, ctx: Context) -> str: ...",
        'on_unknown="undo", but from the pivot on nothing is undone',
    ),
    Mistake(
        "check policy without check",
        "@step(on_unknown='check', compensate=None)\nasync def pay(self, order: str, ctx: Context) -> str: ...",
        r"needs a check: write one with @pay\.check",
    ),
    Mistake(
        "unannotated result",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context): ...",
        "S.pay: annotate return",
    ),
    Mistake(
        "unannotated parameter",
        "@step(compensate=None)\nasync def pay(self, order, ctx: Context) -> str: ...",
        "S.pay: annotate order",
    ),
    Mistake(
        "unserialisable result",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context) -> Held: ...",
        "S.pay: Held cannot be kept as JSON",
    ),
    Mistake(
        "unserialisable within",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context) -> dict[str, list[Held] | None]: ...",
        "cannot be kept as JSON: Held is not a dataclass",
    ),
    Mistake(
        "unserialisable input",
        "@step(compensate=None)\nasync def pay(self, order: Order, ctx: Context) -> str: ...",
        "S.input: Order cannot be kept as JSON",
        "class S(Saga[Order]):",
    ),
    Mistake(
        "other input",
        "@step(compensate=None)\nasync def pay(self, order: int, ctx: Context) -> str: ...",
        "its parameter order is int, but the saga's input is str",
    ),
    Mistake(
        "other result",
        RESERVE + "@step(reserve, compensate=None)\n"
        "async def pay(self, order: str, held: int, ctx: Context) -> str: ...",
        "its parameter held is int, but the result of reserve is str",
    ),
    Mistake(
        "result of a conditional step",
        RESERVE.replace("@step", "@step(when=lambda order, ctx: True)")
        + "@step(reserve, compensate=None)\nasync def pay(self, order: str, held: str, ctx: Context) -> str: ...",
        r"its parameter held is str, but the result of reserve is str \| None",
    ),
    Mistake(
        "parameters missing",
        RESERVE + "@step(reserve, compensate=None)\nasync def pay(self, order: str, ctx: Context) -> str: ...",
        "S.pay: takes 2 parameters after self, it is called with 3: input, reserve, ctx",
    ),
    Mistake(
        "compensation that assumes a result",
        RESERVE.replace("held: str | None", "held: str"),
        r"its parameter held is str, but what reserve may have left is str \| None",
    ),
    Mistake(
        "result of a later step asked for",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context) -> str:\n"
        "    return ctx.result(S.pack)\n"
        "@step(compensate=None)\nasync def pack(self, order: str, ctx: Context) -> str: ...",
        "S.pay: asks for the result of pack, which it does not come after: add it to @step",
    ),
    Mistake(
        "result of a later step asked for by another name",
        "@step(compensate=None)\nasync def pay(self, order: str, call: Context) -> str:\n"
        "    return call.result(S.pack)\n"
        "@step(compensate=None)\nasync def pack(self, order: str, ctx: Context) -> str: ...",
        "S.pay: asks for the result of pack, which it does not come after: add it to @step",
    ),
    Mistake(
        "no output",
        RESERVE,
        r"S\.output: the output type is int: write output\(self, input, ctx\)",
        "class S(Saga[str, int]):",
    ),
    Mistake(
        "name of Saga's own",
        "@step(compensate=None)\nasync def output(self, order: str, ctx: Context) -> str: ...",
        "taken by Saga itself",
    ),
    Mistake("no timeout", RESERVE.replace("@step", "@step(timeout=timedelta(0))"), "timeout=0:00:00 must be positive"),
    Mistake("version", RESERVE, "version=0 must be at least 1", "class S(Saga[str], version=0):"),
    Mistake(
        "no attempts",
        RESERVE.replace("@step", "@step(retry=RetryPolicy(max_attempts=0))"),
        "RetryPolicy: max_attempts=0 must be at least 1, or None",
    ),
    Mistake(
        "waits that shrink",
        RESERVE.replace("@step", "@step(retry=RetryPolicy(multiplier=0.5))"),
        "RetryPolicy: multiplier=0.5: say a number from 1",
    ),
    Mistake(
        "waits upside down",
        RESERVE.replace("@step", "@step(retry=RetryPolicy(initial_interval=timedelta(minutes=2)))"),
        "it must be 0 < initial_interval <= max_interval",
    ),
    Mistake(
        "a generator action",
        "@step(compensate=None)\ndef pay(self, order: str, ctx: Context) -> Any:\n    yield",
        r"S\.pay: is a generator function, whose body would not run when it is called: remove the yield",
    ),
    Mistake(
        "a generator compensation",
        RESERVE.replace("async def release", "def release")
        .replace("Context) -> None: ...", "Context) -> None:\n    yield"),
        r"S\.reserve's compensation: is a generator function",
    ),
    Mistake(
        "an async generator compensation",
        RESERVE.replace("Context) -> None: ...", "Context) -> None:\n    yield"),
        r"S\.reserve's compensation: is a generator function",
    ),
    Mistake(
        "an async generator check",
        "@step(on_unknown='check', compensate=None)\nasync def pay(self, order: str, ctx: Context) -> str: ...\n"
        "@pay.check\nasync def paid(self, order: str, ctx: Context) -> Any:\n    yield",
        r"S: the check of pay: is a generator function",
    ),
    Mistake(
        "a node under two names",
        RESERVE + "hold = reserve",
        r"S\.hold: is the node .*S\.reserve once more: remove it, or make another",
    ),
    Mistake(
        "a node of two sagas",
        "class Other(Saga[str]):\n    rest = timer(timedelta(1))\npause = Other.rest",
        r"S\.pause: is the node .*S\.Other\.rest once more",
    ),
    Mistake(
        "an each over no list",
        RESERVE + "@each(reserve, compensate=None)\n"
        "async def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"S\.label: is called for each item of a list, but reserve gives str: say @each\(reserve, lambda result: ",
    ),
    Mistake(
        "an each over a list that may be skipped",
        'ls = signal(list[str], timeout=timedelta(1), on_timeout="continue")\n'
        + "@each(ls, compensate=None)\nasync def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"but ls gives list\[str\] \| None: say @each",
    ),
    Mistake(
        "an each over a dict",
        'd = signal(dict[str, int])\n'
        + "@each(d, compensate=None)\nasync def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"but d gives dict",
    ),
    Mistake(
        "an each whose items are no list",
        'def total(s: str) -> int: ...\n' + RESERVE
        + "@each(reserve, total, compensate=None)\n"
        "async def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"but what computes its items gives int: return a list",
    ),
    Mistake(
        "an each over nothing",
        "@each(None, compensate=None)\nasync def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"what computes its items is None, which is not a function of input, ctx",
    ),
    Mistake(
        "an each over the input that takes too little",
        "@each(lambda order: [], compensate=None)\n"
        "async def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"what computes its items is called with \(input, ctx\), but takes \(order\)",
    ),
    Mistake(
        "an each without parentheses",
        RESERVE + "@each\nasync def label(self, order: str, item: str, ctx: Context) -> str: ...",
        r"S\.label: its decorator has no method: write it with parentheses above one",
    ),
    Mistake(
        "a step without a method",
        RESERVE + "pay = step(reserve, compensate=None)",
        r"S\.pay: its decorator has no method",
    ),
    Mistake(
        "a node in place of a list",
        RESERVE + "@step(compensate=None, after=reserve)\nasync def pay(self, order: str, ctx: Context) -> str: ...",
        r"after=<Step reserve>: write a list, even of one",
    ),
    Mistake("a child of no saga", "k = child(str, lambda order, ctx: order)", "child of <class 'str'>: say a Saga"),
    Mistake("a dot in the name", RESERVE, "the name of saga S", "class S(Saga[str], name='a.b'):"),
    Mistake("a wildcard in the name", RESERVE, "the name of saga S", "class S(Saga[str], name='a*'):"),
    Mistake(
        "a signal's name in the place of its type", "paid = signal('paid')",
        r"S\.paid: signal\('paid'\): give the type of the payload, such as signal\(str\)",
    ),
    Mistake("a list in the place of a signal's type", "paid = signal([str])", r"S\.paid: signal\(\[<.*>\]\): give"),
    Mistake(
        "a node in the place of a signal's type", RESERVE + "paid = signal(reserve)",
        r"S\.paid: signal\(<Step S\.reserve>\): give the type",
    ),
    Mistake(
        "signal as a decorator", "@signal\nasync def paid(self, order: str, ctx: Context) -> str: ...",
        r"S\.paid: signal is not a decorator of methods: write paid = signal\(Payload\)",
    ),
    *(
        Mistake(
            f"a wrapper that does not say what it wraps, {what}", body,
            r": takes \*a, as a wrapper does that does not say what it wraps: put @functools\.wraps\(fn\) above",
            BARE + "class S(Saga[str]):",
        )
        for what, body in {
            "of a step": "@step(compensate=None)\n@bare\nasync def pay(self, order: str, ctx: Context) -> str: ...",
            "typed": "@step(compensate=None)\n@typed\nasync def pay(self, order: str, ctx: Context) -> str: ...",
            "of a compensation": RESERVE.replace("@reserve.compensate", "@reserve.compensate\n@bare"),
            "of an each": "@each(lambda order, ctx: [], compensate=None)\n@bare\n"
            "async def pay(self, order: str, item: str, ctx: Context) -> str: ...",
            "of a check": "@step(on_unknown='check', compensate=None)\n"
            "async def pay(self, order: str, ctx: Context) -> str: ...\n"
            "@pay.check\n@bare\nasync def paid(self, order: str, ctx: Context) -> NotDone | None: ...",
        }.items()
    ),
    Mistake("an empty name", RESERVE, "the name of saga S", "class S(Saga[str], name=''):"),
    Mistake("a step that NATS cannot name", RESERVE.replace("reserve", "resérve"), "resérve"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "_"))
def test_mistake(mistake: Mistake, tmp_path: Path) -> None:
    is_refused(mistake, tmp_path)


def test_inheriting_from_a_saga(tmp_path: Path) -> None:
    body = indent(RESERVE, "    ")
    with pytest.raises(DefinitionError, match="T inherits from the saga S: compose instead"):
        load(tmp_path, f"class S(Saga[str]):\n{body}\nclass T(S):\n    pass\n")
