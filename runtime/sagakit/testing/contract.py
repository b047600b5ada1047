"""The participant contract, as a test that users run against their own services.

See docs/architecture.md, "The participant contract".

class Payments:  # one service as the contract sees it, with plain functions or coroutine functions
    def act(self, key): return psp.charge(100, key=key)
    def undo(self, key, action_key): psp.refund(key=key, action_key=action_key)
    def check(self, action_key): ...  # optional; None means that it did not happen and no longer can
    def effects(self): return psp.number_of_charges_not_refunded()

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
    """An action of a service with its compensation. Each function may be plain or a coroutine function.

    `act` returns the answer of the action, or raises; `effects` returns the number of actions that happened and were
    not undone. `check`, if there is one, returns the answer that was given under a key, or None.
    """

    def act(self, key: str) -> Any: ...
    def undo(self, key: str, action_key: str) -> Any: ...
    def effects(self) -> Any: ...


class ContractBroken(AssertionError):
    """A service does not keep the participant contract; the text quotes the clause."""


class ContractCase:
    """A clause of the contract. `str()` gives its name."""

    def __init__(self, clause: Callable[[_TriedParticipant], Awaitable[None]]) -> None:
        self._clause = clause

    def __str__(self) -> str:
        return self._clause.__name__.strip("_")

    @property
    def text(self) -> str:
        """The clause in words."""
        return inspect.getdoc(self._clause) or str(self)

    def run(self, make: Callable[[], Participant]) -> None:
        """Try the clause on a fresh participant, in its own trio run. Raises ContractBroken."""
        trio.run(self.run_async, make)

    async def run_async(self, make: Callable[[], Participant]) -> None:
        """Try the clause in trio, or in asyncio if the functions are plain or asyncio's. Raises ContractBroken."""
        try:
            await self._clause(_TriedParticipant(_made(make)))
        except ContractBroken as error:
            raise ContractBroken(f"{error}. The contract: {self.text}") from None


def _made(make: Callable[[], Participant]) -> Participant:
    """Return a fresh participant. Raises TypeError for anything else."""
    if not callable(make):
        raise TypeError(f"{make!r} is not called: give what makes a fresh participant for each clause, as its class")
    made = make()
    for name in ("act", "undo", "effects"):
        if not callable(getattr(made, name, None)):
            raise TypeError(
                f"{type(made).__name__} has no {name}(): a participant has act, undo and effects, and may have check"
            )
    return made


class _TriedParticipant:
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

    async def has_effects(self, number: int, after: str) -> None:
        found = await _result(self._participant.effects())
        if found != number:
            raise ContractBroken(f"after {after} there are {found} effects, not {number}")

    async def late_act(self, after: str) -> None:
        """Call an action late: it may raise or answer, and must have no effect."""
        before = await _result(self._participant.effects())
        with suppress(Exception):  # a refusal is what the contract wants
            await self.act()
        await self.has_effects(before, f"an action that came late, {after}")


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _an_action_is_idempotent(tried: _TriedParticipant) -> None:
    """An action that is called again under the same key has one effect, and gives the same answer."""
    first = await tried.act()
    again = await tried.act()
    if first != again:
        raise ContractBroken(f"the same key was answered {first!r}, then {again!r}")
    await tried.has_effects(1, "two calls under one key")


async def _two_keys_are_two_actions(tried: _TriedParticipant) -> None:
    """An action under another key is another action."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.has_effects(2, "calls under two keys")


async def _an_undo_takes_back(tried: _TriedParticipant) -> None:
    """A compensation undoes the action under the action's key, and nothing else."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.undo("undo-1", "act-1")
    await tried.has_effects(1, "two actions and the undo of one")


async def _an_undo_is_idempotent(tried: _TriedParticipant) -> None:
    """A compensation that is called twice undoes once."""
    await tried.act("act-1")
    await tried.act("act-2")
    await tried.undo()
    await tried.undo()
    await tried.has_effects(1, "two actions and one undo, called twice")


async def _an_undo_tolerates_never_happened(tried: _TriedParticipant) -> None:
    """A compensation of an action that never happened does nothing, and does not fail."""
    try:
        await tried.undo()
    except Exception as error:  # any error breaks this clause
        raise ContractBroken(f"the undo of an action that never happened raised {error!r}") from error
    await tried.has_effects(0, "the undo of an action that never happened")


async def _no_action_after_its_undo(tried: _TriedParticipant) -> None:
    """A compensation makes its action's key unusable: a late action cannot slip in after its undo."""
    await tried.act()
    await tried.undo()
    await tried.late_act("after it was done and undone")


async def _no_first_action_after_its_undo(tried: _TriedParticipant) -> None:
    """A compensation also makes the key unusable if its action had not happened yet."""
    await tried.undo()
    await tried.late_act("for the first time, after its undo")


async def _a_check_tells_what_happened(tried: _TriedParticipant) -> None:
    """A check gives the answer that the action gave."""
    if tried.has_check:
        answer = await tried.act()
        found = await tried.check()
        if found != answer:
            raise ContractBroken(f"the action answered {answer!r}, its check {found!r}")


async def _a_check_that_says_no_is_final(tried: _TriedParticipant) -> None:
    """A check's "not done" means that the action did not happen and no longer can."""
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
"""Every clause of the contract, for `pytest.mark.parametrize`."""
