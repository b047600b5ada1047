"""Nodes and options that are used as what they are not: each refusal says what to write instead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sagakit
from sagakit import (
    Config,
    Context,
    DefinitionError,
    Failed,
    InvalidConfig,
    OldSaga,
    RetryPolicy,
    Saga,
    SagaStuck,
    child,
    signal,
    step,
)

from tests.definition.mistakes import RESERVE, Mistake, is_refused

ONCE = RetryPolicy(max_attempts=1)
ANY: Any = [signal, RetryPolicy]
_signal, _RetryPolicy = ANY

MISTAKES = [
    Mistake(
        "pivot that is text", "@step(pivot='no')\nasync def pay(self, order: str, ctx: Context) -> str: ...", "say F"
    ),
    Mistake(
        "pivot of a child that is text",
        "part = child(S, lambda order, ctx: order, pivot='no')",
        r"S\.part: pivot='no': say False or True",
        f"class S(Saga[str]):{RESERVE.replace(chr(10), chr(10) + '    ')}\nclass S(Saga[str]):",
    ),
    Mistake(
        "check of a step that is not checked",
        RESERVE + "@reserve.check\nasync def look(self, order: str, ctx: Context) -> NotDone | None: ...",
        r'<Step reserve> has no check: only a step with @step\(on_unknown="check"\) is asked for it',
    ),
    Mistake(
        "step as a decorator",
        RESERVE.replace("@reserve.compensate", "@reserve"),
        "<Step reserve> is not a decorator: write @reserve.compensate",
    ),
    Mistake(
        "after a method that is not a step",
        RESERVE.replace("@step\n", "", 1).partition("@reserve")[0]
        + "@step(reserve, compensate=None)\nasync def pay(self, order: str, held: str, ctx: Context) -> str: ...",
        r"for @step\(reserve\), reserve itself needs @step",
    ),
    Mistake(
        "step as a condition",
        RESERVE + "@step(compensate=None, when=reserve)\nasync def pay(self, order: str, ctx: Context) -> str: ...",
        "S.pay: when is <Step .*reserve>, which is not a function of input, ctx",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_node_that_is_misused_in_the_class_says_what_to_write(mistake: Mistake, tmp_path: Path) -> None:
    is_refused(mistake, tmp_path)


class Other(Saga[str]):
    """Has a step of the same name as `Asks`."""

    @step(compensate=None)
    async def first(self, input: str, ctx: Context) -> str:
        return "of another saga"


class Asks(Saga[str]):
    """Does the wrong thing with the node that its input names."""

    @step(compensate=None)
    async def first(self, input: str, ctx: Context) -> str:
        return "first"

    @step(compensate=None, retry=ONCE)
    async def second(self, input: str, ctx: Context) -> str:
        own: Any = self.first
        nodes: dict[str, Any] = {"name": "first", "other": Other.first, "none": None}
        return str(await own(input, ctx) if input == "call" else ctx.result(nodes[input]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("name", "ctx.result('first'): write a node of Asks, such as Asks.first"),
        ("other", "ctx.result(<Step Other.first>): write a node of Asks, such as Asks.first"),
        ("none", "ctx.result(None): write a node of Asks, such as Asks.first"),
        ("call", "<Step Asks.first> cannot be called, since the runtime calls it: take its result with @step(first)"),
    ],
)
def test_a_step_that_misuses_another_node_is_told_what_to_write(wrong: str, says: str) -> None:
    outcome = sagakit.run(Asks(), None, wrong, url="memory:")
    assert isinstance(outcome, Failed)
    assert says in str(outcome.reason)


def test_options_without_their_names_are_refused_with_the_names() -> None:
    with pytest.raises(
        DefinitionError, match=r"RetryPolicy\(\.\.\., 3\): give options by name; there are: max_attempts"
    ):
        _RetryPolicy(3)
    with pytest.raises(DefinitionError, match=r"signal\(\.\.\., .*\): give options by name; there are: timeout"):
        _signal(str, timedelta(hours=1))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"storage": "disk"}, "storage='disk': Invalid enum value 'disk': say 'file' or 'memory'"),
        ({"lease_ttl": -1}, r"lease_ttl=-1: Expected `float` >= 1.0 \(Seconds without renewal"),
        ({"drain_timeout": timedelta(1)}, r"drain_timeout=.*: Expected `float`, got `duration` \(Seconds that running"),
        ({"drain_timeout": "10 s"}, r"drain_timeout='10 s': Expected `float`, got `str` \(Seconds that running"),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_with_what_it_means(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        Config.of(options)


async def test_a_config_that_is_a_dict_is_refused() -> None:
    config: Any = {"lease_ttl": 5}
    with pytest.raises(
        InvalidConfig, match=r"config=\{'lease_ttl': 5\}: write Config\(...\), or give the options by name"
    ):
        async with sagakit.open_runtime("memory:", sagas=[Other()], config=config):
            pass


async def test_adopt_is_true_or_false() -> None:
    adopt: Any = "no"
    with pytest.raises(InvalidConfig, match="adopt='no': say True or False"):
        async with sagakit.open_runtime("memory:", sagas=[Other()], adopt=adopt):
            pass


class Lazy(Saga[str, str]):
    """Its output is a coroutine."""

    @step(compensate=None)
    async def first(self, input: str, ctx: Context) -> str:
        return "first"

    def output(self, input: str, ctx: Context) -> str:
        later: Any = self._later()
        return later  # type: ignore[no-any-return]

    async def _later(self) -> str:
        return "later"


def test_an_output_that_is_a_coroutine_is_told_to_be_the_answer() -> None:
    with pytest.raises(SagaStuck, match="nobody runs: let it return the answer itself"):
        sagakit.run(Lazy(), None, "x", url="memory:")


def test_a_step_is_renamed_to_a_node_and_not_to_a_name() -> None:
    old: Any = OldSaga(version=1, input="x", states={"first": "done"}, results={})
    for name in ("first", "not_begun"):
        with pytest.raises(DefinitionError, match=rf"rename\('{name}', 'second'\): write the node of the new version"):
            old.rename(name, "second")


class Parent(Saga[str]):
    """Has a child."""

    part = child(Other, lambda input, ctx: input)


def test_children_that_nobody_can_run_in_memory_are_refused_at_once() -> None:
    with pytest.raises(DefinitionError, match="add an instance of Other to sagas="):
        sagakit.run(Parent(), None, "x", url="memory:")
