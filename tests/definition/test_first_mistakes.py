"""The mistakes of a first saga: signatures, types, and what is given to the decorators. Each says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.definition.mistakes import RESERVE, Mistake, is_refused, load

PAY = "@step(compensate=None)\nasync def pay(self, {}) -> {}: ..."
OUTPUT = "def output(self, input: str, ctx: Context) -> {}: ..."
STRING = "class S(Saga[str, str]):"


def pay(parameters: str = "order: str, ctx: Context", result: str = "str") -> str:
    """A step with these parameters and this result."""
    return PAY.format(parameters, result)


def option(given: str) -> str:
    """A step with these options."""
    return RESERVE.replace("@step", f"@step({given})")


SIGNATURES = [
    Mistake(
        "ctx of another type",
        pay("order: str, ctx: dict"),
        "S.pay: its parameter ctx is dict, but its last argument is Context",
    ),
    Mistake(
        "ctx of another type in a compensation",
        RESERVE.replace("held: str | None, ctx: Context", "held: str | None, ctx: str"),
        "S.reserve's compensation: its parameter ctx is str, but its last argument is Context",
    ),
    Mistake(
        "ctx of another type in a check",
        "@step(compensate=None, on_unknown='check')\nasync def pay(self, order: str, ctx: Context) -> str: ...\n"
        "@pay.check\nasync def paid(self, order: str, ctx: str) -> NotDone | None: ...",
        "S.the check of pay: its parameter ctx is str, but its last argument is Context",
    ),
    Mistake("step without ctx", pay("order: str"), "takes 1 parameters after self, it is called with 2: input, ctx"),
    Mistake("step without anything", pay(""), "takes 0 parameters after self, it is called with 2: input, ctx"),
    Mistake(
        "ctx and input swapped",
        pay("ctx: Context, order: str"),
        "its parameter ctx is Context, but the saga's input is str",
    ),
    Mistake(
        "step without result type", pay().split(" ->")[0] + ": ...", "annotate return: its types say how results are"
    ),
    Mistake("input without type", pay("order, ctx: Context"), "annotate order: its types say how results are kept"),
    Mistake("unknown type", pay(result="Recipt"), "Recipt is not known at run time: define it, or import it not only"),
    Mistake(
        "output of another type",
        RESERVE + OUTPUT.format("int"),
        "returns int, but the output type is str: say which",
        STRING,
    ),
    Mistake(
        "output without output type", RESERVE + OUTPUT.format("str"), "returns str, but the output type is None: say"
    ),
    Mistake(
        "output that is awaited", RESERVE + "async " + OUTPUT.format("str"), "nobody awaits it: make it a plain", STRING
    ),
    Mistake(
        "output without ctx",
        RESERVE + "def output(self, input: str) -> str: ...",
        r"is called with \(self, input, ctx\), but takes",
        STRING,
    ),
    Mistake(
        "output misspelt", RESERVE + "def outptu(self, input: str, ctx: Context) -> str: ...", "write output", STRING
    ),
    Mistake(
        "compensation without the result",
        RESERVE.replace("held: str | None, ", ""),
        "its compensation is called with input, result and ctx after self",
    ),
    Mistake(
        "static step",
        "@step(compensate=None)\n@staticmethod\nasync def pay(order: str, ctx: Context) -> str: ...",
        "is called with the saga as self: remove @staticmethod",
    ),
    Mistake(
        "async generator step",
        "@step(compensate=None)\nasync def pay(self, order: str, ctx: Context) -> Any:\n    yield",
        "is a generator function, whose body would not run when it is called: remove the yield",
    ),
]
TYPES = [
    Mistake("object", pay(result="object"), "object is not a dataclass, msgspec.Struct, TypedDict or plain JSON type"),
    Mistake(
        "complex", pay(result="complex"), "complex is not a dataclass, msgspec.Struct, TypedDict or plain JSON type"
    ),
    Mistake(
        "tuple keys", pay(result="dict[tuple[int, int], str]"), "a dict in JSON cannot have a key that is tuple: use"
    ),
    Mistake(
        "two dataclasses",
        "@dataclass\nclass P:\n    a: int\n@dataclass\nclass Q:\n    a: int\n" + pay(result="P | Q"),
        "Type unions may not contain more than one dataclass",
    ),
]
OPTIONS = [
    Mistake("limit of a number", option("limit=5"), r"limit=5: say Limit\(\.\.\.\)"),
    Mistake("limit of nothing", option("limit=Limit('psp')"), r"Limit\('psp'\) limits nothing: give max_concurrent or"),
    Mistake(
        "step that begins with an underscore",
        pay().replace("pay", "_pay"),
        r"S\._pay: the step '_pay' must match .* have at most 64 characters: it becomes one token of a NATS key and",
    ),
    Mistake("retry of a number", option("retry=3"), r"retry=3: say RetryPolicy\(\.\.\.\)"),
    Mistake(
        "timeout of a number", option("timeout=30"), r"timeout=30: say a timedelta, such as timedelta\(seconds=5\)"
    ),
    Mistake(
        "policy of a number",
        option("retry=RetryPolicy(initial_interval=1)"),
        "RetryPolicy: initial_interval=1: say a timedelta",
    ),
    Mistake("unknown word", option("on_unknown='ignore'"), "say 'retry' or 'check' or 'undo' or 'ask'"),
    Mistake(
        "function as compensate",
        option("compensate=len"),
        r"step\(compensate=<.*len>\): only None is said here: the compensation is a method of its own",
    ),
    Mistake(
        "compensate that is false",
        "@each(lambda o, c: [], compensate=False)\n" + pay().split("\n")[1],
        r"each\(compensate=False\): only None is said here",
    ),
    Mistake("condition that is none", option("when=True"), "when is True, which is not a function of input, ctx"),
    Mistake(
        "name in place of a node",
        RESERVE + "@step('reserve')\n" + pay().split("\n")[1],
        "takes the steps it comes after",
    ),
    Mistake("text to come after", option("after='a'"), r"after='a': write a list, even of one: after=\['a'\]"),
    Mistake("list of text to come after", option("after=['a']"), "takes the steps it comes after, not 'a'"),
    Mistake(
        "no max_concurrent",
        "@each(lambda o, c: [], max_concurrent=0, compensate=None)\nasync def l(self, order: str, item: str, "
        "ctx: Context) -> str: ...",
        "max_concurrent=0 must be at least 1",
    ),
    Mistake(
        "no item",
        "@each(lambda o, c: [], compensate=None)\n" + pay().split("\n")[1],
        "it is called with 3: input, item, ctx",
    ),
    Mistake(
        "a list in place of a function",
        "@each([1], compensate=None)\n" + pay("order: str, item: int, ctx: Context").split("\n")[1],
        r"what computes its items is \[1\], which is not a function of input, ctx",
    ),
    Mistake("version of text", RESERVE, "version='2': say a whole number", "class S(Saga[str], version='2'):"),
    Mistake("deadline of a number", RESERVE, "deadline=60: say a timedelta", "class S(Saga[str], deadline=60):"),
    Mistake("backend of another word", RESERVE, "say 'trio' or 'asyncio'", "class S(Saga[str], backend='threads'):"),
    Mistake("lambda as a step", "pay = step(lambda self, order, ctx: order)", "S.pay: "),
]
NODES = [
    Mistake("timer of a number", "t = timer(5)", "wait=5: say a timedelta"),
    Mistake("timer that goes back", "t = timer(timedelta(seconds=-5))", "wait=-1 day, 23:59:55 must not be negative"),
    Mistake("timer of one parameter", "t = timer(lambda order: timedelta(1))", r"with \(input, ctx\), but takes"),
    Mistake(
        "signal of an instance",
        "@dataclass\nclass P:\n    n: int = 1\ns = signal(P())",
        r"signal\(S\.P\(n=1\)\): give the type of the payload, such as signal\(str\)",
    ),
    Mistake("signal with a number", "s = signal(str, timeout=60)", "timeout=60: say a timedelta"),
    Mistake("signal that goes on", "s = signal(str, on_timeout='continue')", 'on_timeout="continue" needs a timeout'),
    Mistake("child of an instance", "class B(Saga[str]):\n    t = timer(timedelta(1))\nc = child(B(), lambda o, c: o)",
            r"is a child of B\(\.\.\.\): say a Saga class"),
    Mistake("child by name", "c = child('S', lambda o, c: o)", "is a child of 'S': say a Saga class"),
    Mistake("compensation of the step's name", RESERVE.replace("release", "reserve"), "reserve is defined twice"),
]  # fmt: skip


CLASSES = [
    Mistake(
        f"text in the place of the {what}",
        RESERVE,
        r"S: Saga\[\.\.\.\] has a text in the place of a type, 'Order': write",
        f"class S(Saga[{types}]):",
    )
    for what, types in {"input": "'Order'", "output": "str, 'Order'"}.items()
] + [
    Mistake(
        f"{name} in the class body",
        f"{name} = {value}\n{RESERVE}",
        rf"S\.{name} = .* is an attribute, and sets no option: write it into the class line, .*{name}=\.\.\.\)",
    )
    for name, value in {
        "version": "2", "name": "'pay'", "deadline": "timedelta(hours=1)", "backend": "'asyncio'"
    }.items()
] + [
    Mistake(
        "a cache above the step",
        "@cache\n" + pay(),
        r"S\.pay: a decorator is above the node, and hides it: put it below",
        "from functools import cache\nclass S(Saga[str]):",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "mistake", [*SIGNATURES, *TYPES, *OPTIONS, *NODES, *CLASSES], ids=lambda mistake: mistake.name.replace(" ", "_")
)
def test_a_mistake_says_what_to_write(mistake: Mistake, tmp_path: Path) -> None:
    is_refused(mistake, tmp_path)


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("@each()\nasync def l(self, order: str, item: str, ctx: Context) -> str: ...", TypeError, "'source'"),
        ("s = signal()", TypeError, "'payload'"),
        ("c = child(int)", TypeError, "'make_input'"),
        ("def pay(self) -> None: ...\n@pay.compensate\ndef unpay(self) -> None: ...", AttributeError, "'compensate'"),
    ],
)
def test_what_python_itself_refuses(body: str, error: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says):
        load(tmp_path, "class S(Saga[str]):\n    " + body.replace("\n", "\n    ") + "\n")


@pytest.mark.parametrize("result", ["dict[int, str]", "list[float]", "str | None", "bytes", "tuple[int, ...]"])
def test_what_json_can_hold_is_taken(result: str, tmp_path: Path) -> None:
    module = load(tmp_path, f"class S(Saga[str]):\n    {pay(result=result)}\n".replace("\nasync", "\n    async"))
    assert "pay" in module.S.diagram()
