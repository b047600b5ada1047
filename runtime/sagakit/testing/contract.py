"""The participant contract as a test that a user runs against their own service.

See docs/architecture.md, "The participant contract".

class Payments:  # one service, as the contract sees it; plain functions or coroutine functions
    def act(self, key): return psp.charge(100, key=key)
    def undo(self, key, action_key): psp.refund(key=key, action_key=action_key)
    def check(self, action_key): ...  # optional: None means: it did not happen and no longer can
    def effects(self): return psp.number_of_charges_that_stand()

@pytest.mark.parametrize("case", CONTRACT, ids=str)
def test_the_contract(case):
    case.run(Payments)  # in trio: `await case.run_async(Payments)`
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import trio


class Participant(Protocol):
    """One action of a service with its compensation; each function may be plain or a coroutine function.

    `act` returns what the action answers, or raises; `effects` counts the actions whose effect stands. `check`, if
    there is one, returns what was answered under a key, or None.
    """

    def act(self, key: str) -> Any: ...
    def undo(self, key: str, action_key: str) -> Any: ...
    def effects(self) -> Any: ...


class ContractBroken(AssertionError):
    """A service does not keep the participant contract."""


class ContractCase:
    """One clause of the contract. `str()` names it."""

    def __init__(self, clause: Callable[[_Tried], Awaitable[None]]) -> None:
        self._clause = clause

    def __str__(self) -> str:
        return self._clause.__name__.strip("_")

    @property
    def text(self) -> str:
        """The clause in words."""
        return inspect.getdoc(self._clause) or str(self)

    def run(self, make: Callable[[], Participant]) -> None:
        """Try it on a fresh participant, in a trio run of its own. Raises ContractBroken."""
        trio.run(self.run_async, make)

    async def run_async(self, make: Callable[[], Participant]) -> None:
        """The same within trio, or within asyncio if the participant's functions are plain or asyncio's."""
        try:
            await self._clause(_Tried(_made(make)))
        except ContractBroken as error:
            raise ContractBroken(f"{error}. The contract: {self.text}") from None


def _made(make: Callable[[], Participant]) -> Participant:
    """A fresh participant. Raises TypeError for what is none."""
    if not callable(make):
        raise TypeError(f"{make!r} is not called: give what makes a fresh participant for each clause, as its class")
    made = make()
    for name in ("act", "undo", "effects"):
        if not callable(getattr(made, name, None)):
            raise TypeError(
                f"{type(made).__name__} has no {name}(): a participant has act, undo and effects, and may have check"
            )
    return made


class _Tried:
    """A participant under test."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self.has_check = hasattr(participant, "check")

    async def act(self, key: str = "act-1") -> Any:
        return await _result(self._participant.act(key))

    async def undo(self, key: str = "undo-1", action_key: str = "act-1") -> None:
        await _result(self._participant.undo(key, action_key))

    async def check(self, action_key: str = "act-1") -> Any:
        participant: Any = self._participant
        return await _result(participant.check(action_key))

    async def stands(self, number: int, after: str) -> None:
        found = await _result(self._participant.effects())
        if found != number:
            raise ContractBroken(f"after {after} {found} effects stand, not {number}")

    async def late_act(self, after: str) -> None:
        """An action that comes late: it may raise or answer, but must have no effect."""
        before = await _result(self._participant.effects())
        with suppress(Exception):  # a refusal is what the contract wants
            await self.act()
        await self.stands(before, f"an action that came late, {after}")


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _an_action_is_idempotent(tried: _Tried) -> None:
    """The same key has one effect, and gets the same answer again."""
    first = await tried.act()
    again = await tried.act()
    if first != again:
        raise ContractBroken(f"the same key was answered {first!r}, then {again!r}")
    await tried.stands(1, "two calls under one key")


async def _two_keys_are_two_actions(tried: _Tried) -> None:
    """Another key is another action."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.stands(2, "calls under two keys")


async def _an_undo_takes_back(tried: _Tried) -> None:
    """A compensation undoes what was done under the action's key, and nothing else."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.undo("undo-1", "act-1")
    await tried.stands(1, "two actions and the undo of one")


async def _an_undo_is_idempotent(tried: _Tried) -> None:
    """A compensation that is called twice undoes once."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.undo()
    await tried.undo()
    await tried.stands(1, "two actions and one undo, called twice")


async def _an_undo_tolerates_never_happened(tried: _Tried) -> None:
    """A compensation of what never happened does nothing, and does not fail."""
    try:
        await tried.undo()
    except Exception as error:  # whatever it was, it is not what the contract says
        raise ContractBroken(f"the undo of what never happened raised {error!r}") from error
    await tried.stands(0, "the undo of what never happened")


async def _no_action_after_its_undo(tried: _Tried) -> None:
    """A compensation makes its action's key unusable: a late action cannot slip in after its undo."""
    await tried.act()
    await tried.undo()
    await tried.late_act("after it was done and undone")


async def _no_first_action_after_its_undo(tried: _Tried) -> None:
    """The same for an action that had not happened when it was undone."""
    await tried.undo()
    await tried.late_act("for the first time, after its undo")


async def _a_check_tells_what_happened(tried: _Tried) -> None:
    """A check answers what the action answered."""
    if tried.has_check:
        answer = await tried.act()
        found = await tried.check()
        if found != answer:
            raise ContractBroken(f"the action answered {answer!r}, its check {found!r}")


async def _a_check_that_says_no_is_final(tried: _Tried) -> None:
    """A check's "not done" means: it did not happen and no longer can."""
    if tried.has_check:
        if (found := await tried.check()) is not None:
            raise ContractBroken(f"nothing happened, and the check answered {found!r}")
        await tried.late_act("after a check had said that it did not happen")


CONTRACT: tuple[ContractCase, ...] = tuple(
    ContractCase(clause)
    for clause in (
        _an_action_is_idempotent,
        _two_keys_are_two_actions,
        _an_undo_takes_back,
        _an_undo_is_idempotent,
        _an_undo_tolerates_never_happened,
        _no_action_after_its_undo,
        _no_first_action_after_its_undo,
        _a_check_tells_what_happened,
        _a_check_that_says_no_is_final,
    )
)
"""Every clause."""
