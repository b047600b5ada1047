"""Supervisors do what the model says, on random scripts; and the mutants below are all found out.

1 temporary children are restarted          7 the exit is not awaited before the start
2 transient ones, after a normal end        8 children are stopped in the order of their start
3 permanent ones are not                    9 an ask is left hanging when its target dies
4 the window's edge does not count         10 the window is never pruned
5 one_for_all restarts only the crashed    11 one restart too many is allowed
6 rest_for_one restarts those before       12 the first restart is one too many already
                                           13 a cancelled child counts as killed
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from sagakit_actors.backoff import Intensity
from sagakit_actors.cell import Exit
from sagakit_actors.supervisor import Supervisor
from sagakit_actors.tasks import TaskCell

from tests.actors.model import Broken, Event, Script, check, scripts

Patch = pytest.MonkeyPatch

AT_THE_EDGE = Script("one_for_one", ["permanent"], 1, 10.0, [Event(0, "crash"), Event(0, "crash")])
"""The second restart comes exactly `period` after the first, which still counts."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Crashes are the point here; their tracebacks are not."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)


@given(script=scripts())
@example(script=AT_THE_EDGE)
def test_supervisors_do_what_the_model_says(script: Script) -> None:
    check(script)


def temporary_restarted(patch: Patch) -> None:
    patch.setattr(Exit, "restarts", lambda self, restart: not self.stopped and (restart != "transient" or self.crash))


def transient_restarted(patch: Patch) -> None:
    patch.setattr(Exit, "restarts", lambda self, restart: not self.stopped and restart != "temporary")


def permanent_not_restarted(patch: Patch) -> None:
    patch.setattr(Exit, "restarts", lambda self, restart: self.crash is not None and restart != "temporary")


def edge_not_counted(patch: Patch) -> None:
    def allows(self: Intensity, now: float) -> bool:
        while self._times and self._times[0] <= now - self.period:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) <= self.limit

    patch.setattr(Intensity, "allows", allows)


def _as(strategy: str, other: str) -> Callable[[Patch], None]:
    def mutant(patch: Patch) -> None:
        restart = Supervisor._restart

        async def confused(self: Supervisor, ctx: Any, cell: Any) -> Any:
            self._strategy = other if self._strategy == strategy else self._strategy  # type: ignore[assignment]
            return await restart(self, ctx, cell)

        patch.setattr(Supervisor, "_restart", confused)

    mutant.__name__ = f"{strategy}_as_{other}"
    return mutant


def exit_not_awaited(patch: Patch) -> None:
    async def stop(self: TaskCell[Any]) -> None:
        self.mailbox.stop()
        await trio.lowlevel.checkpoint()

    patch.setattr(TaskCell, "stop", stop)


def stopped_in_order(patch: Patch) -> None:
    async def stop(cells: Sequence[TaskCell[Any]]) -> None:
        for cell in cells:
            await cell.stop()

    patch.setattr(Supervisor, "_stop", staticmethod(stop))


def ask_left_hanging(patch: Patch) -> None:
    end = TaskCell._end

    def forgetful(self: TaskCell[Any], crash: Exception | None) -> None:
        self.unanswered.clear()
        end(self, crash)

    patch.setattr(TaskCell, "_end", forgetful)


def window_never_pruned(patch: Patch) -> None:
    def allows(self: Intensity, now: float) -> bool:
        self._times.append(now)
        return len(self._times) <= self.limit

    patch.setattr(Intensity, "allows", allows)


def one_too_many(patch: Patch) -> None:
    allows = Intensity.allows
    patch.setattr(Intensity, "allows", lambda self, now: allows(self, now) or len(self._times) == self.limit + 1)


def gives_up_at_once(patch: Patch) -> None:
    patch.setattr(Intensity, "allows", lambda self, now: False)


def cancelled_taken_for_killed(patch: Patch) -> None:
    live = TaskCell._live

    async def confused(self: TaskCell[Any], actor: Any) -> None:
        try:
            await live(self, actor)
        finally:
            self._killed = self._scope is not None and self._scope.cancelled_caught

    patch.setattr(TaskCell, "_live", confused)


OTHERS_LIVE = r"live .*, the model says (set\(\)|{)"
SHOULD_HAVE_GIVEN_UP = "live .*, the model says None"
SHOULD_NOT_HAVE_GIVEN_UP = "gave up: True, the model says False"
MUTANTS: dict[Callable[[Patch], None], str] = {
    temporary_restarted: OTHERS_LIVE,
    transient_restarted: OTHERS_LIVE,
    permanent_not_restarted: OTHERS_LIVE,
    edge_not_counted: SHOULD_HAVE_GIVEN_UP,
    _as("one_for_all", "one_for_one"): OTHERS_LIVE,
    _as("rest_for_one", "one_for_all"): OTHERS_LIVE,
    exit_not_awaited: "started before its previous exit|stopped in the order",
    stopped_in_order: "stopped in the order",
    ask_left_hanging: "was left hanging",
    window_never_pruned: SHOULD_NOT_HAVE_GIVEN_UP,
    one_too_many: SHOULD_HAVE_GIVEN_UP,
    gives_up_at_once: SHOULD_NOT_HAVE_GIVEN_UP,
    cancelled_taken_for_killed: f"{OTHERS_LIVE}|{SHOULD_HAVE_GIVEN_UP}",
}
"""The mutants, and the pattern of the error with which the model condemns each."""


@settings(settings.get_profile("hunt"), max_examples=400)
@given(script=scripts())
@example(script=AT_THE_EDGE)
def hunt(script: Script) -> None:
    try:
        check(script)
    except BaseExceptionGroup as group:
        found, others = group.split(Broken)
        if others is not None or found is None:
            raise  # a mutant that dies of an error of its own breaks no promise
        raise _first(found) from group


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_model_condemns(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    with pytest.raises(Broken, match=MUTANTS[mutant]):
        hunt()


def test_the_model_lets_the_supervisors_pass_on_the_same_scripts() -> None:
    hunt()
