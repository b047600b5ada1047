"""`Gathering` against a model: random writes, several of one key at a time, and random answers in random order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sagakit.errors import Ambiguous, Conflict, StoreError, Unavailable
from sagakit.store import gathering
from sagakit.store.gathering import BatchDone, BatchRefused, Gathering
from sagakit.store.ports import Done

from tests.store.gathering_world import WorldPause

MOST, MOST_BYTES, LARGE = 5, 40, 20


class ModelWrite:
    """A write, and what became of it."""

    def __init__(self, number: int, key: str, size: int, alone: bool, then: ModelWrite | None) -> None:
        self.number, self.key, self.size, self.alone, self.then = number, key, size, alone, then
        self.results: list[int | StoreError] = []
        self.sequence = 0
        """The sequence that the stream gave it; 0 while it has none."""


class Model(RuleBasedStateMachine):
    """A stream, its carrier, and writers that never wait for an answer before they write on."""

    def __init__(self) -> None:
        super().__init__()
        self.pause = WorldPause()
        self.gathering: Gathering[ModelWrite] = Gathering(self, self.pause)
        self.writes: list[ModelWrite] = []
        self.singles: list[tuple[ModelWrite, Done]] = []
        self.batch: tuple[Sequence[ModelWrite], BatchDone] | None = None
        self.sent: list[ModelWrite] = []
        """The writes in the order in which each was sent for the first time."""
        self.batched: set[ModelWrite] = set()
        self.length = 0
        self.takes_batches = True

    # ------------------------------------------------------------- the carrier

    def send_single(self, write: ModelWrite, done: Done) -> None:
        members = () if self.batch is None else self.batch[0]
        assert all(one.key != write.key for one in members), "a write is sent while a batch has one of its key"
        self._send(write)
        self.singles.append((write, done))

    def send_batch(self, writes: Sequence[ModelWrite], done: BatchDone) -> None:
        assert self.takes_batches, "the stream takes no batches any more"
        assert self.batch is None, "two batches are under way"
        assert len({write.key for write in writes}) == len(writes) <= MOST, "a batch is too long, or has a key twice"
        assert sum(write.size for write in writes[:-1]) < MOST_BYTES, "a batch has too many bytes"
        for write in writes:
            assert not write.alone, "a write that is alone is in a batch"
            assert write.size <= LARGE, "a write that is too large is in a batch"
            assert write not in self.batched, "a write is in two batches"
            self.batched.add(write)
            self._send(write)
        self.batch = writes, done

    def _send(self, write: ModelWrite) -> None:
        assert not write.results, "a write is sent that has its result"
        if write not in self.sent:
            older = [one for one in self.writes if one.key == write.key and one.number < write.number]
            assert all(one in self.sent for one in older), "a write of a key has overtaken an older one"
            self.sent.append(write)

    # ------------------------------------------------------------- the writers

    def submit(self, key: str, size: int, alone: bool, then: ModelWrite | None = None) -> None:
        write = ModelWrite(len(self.writes), key, size, alone, then)
        self.writes.append(write)
        self.gathering.submit(key, write, size, partial(self._done, write), alone=alone)

    def _done(self, write: ModelWrite, result: int | StoreError) -> None:
        write.results.append(result)
        assert len(write.results) == 1, "a write has two results"
        assert not isinstance(result, int) or result == write.sequence, "a write has the result of another one"
        if write.then is not None:
            self.submit(write.then.key, write.then.size, write.then.alone)

    def _store(self, write: ModelWrite) -> int:
        self.length += 1
        write.sequence = self.length
        return self.length

    # ---------------------------------------------------------------- the moves

    @rule(
        keys=st.lists(st.sampled_from("ABCDEFGHI"), min_size=1, max_size=6),
        size=st.integers(0, LARGE + 1),
        alone=st.booleans() | st.just(False),
        goes_on=st.booleans(),
    )
    def write_some(self, keys: list[str], size: int, alone: bool, goes_on: bool) -> None:
        for key in keys:
            self.submit(key, size, alone, ModelWrite(-1, key, size, False, None) if goes_on else None)

    @rule(data=st.data(), fate=st.sampled_from(("stored", "conflict", "ambiguous", "unsent")))
    def answer_one(self, data: Any, fate: str) -> None:
        if self.singles:
            write, done = self.singles.pop(data.draw(st.integers(0, len(self.singles) - 1)))
            failed = {"conflict": Conflict(write.key, 0), "ambiguous": Ambiguous("?"), "unsent": Unavailable("?")}
            done(failed[fate] if fate in failed else self._store(write))

    @rule(fate=st.sampled_from(("stored", "stored", "refused", "ambiguous", "half", "unsent")))
    def answer_batch(self, fate: str) -> None:
        if self.batch is not None:
            (writes, done), self.batch = self.batch, None
            stored = [self._store(write) for write in writes] if fate == "stored" else []
            if fate == "half":
                self._store(writes[0])
            failed: dict[str, BatchRefused | StoreError] = {
                "refused": BatchRefused("?"),
                "ambiguous": Ambiguous("?"),
                "half": StoreError("disk"),
            }
            done(stored or failed.get(fate) or Unavailable("?"))

    @rule()
    def refuse_all_batches(self) -> None:
        if self.batch is not None:
            (_, done), self.batch, self.takes_batches = self.batch, None, False
            done(BatchRefused("disabled", for_good=True))

    @rule()
    def pause_over(self) -> None:
        if self.pause.asked:
            self.pause.asked.pop(0)()

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        if not self.singles and self.batch is None and not self.pause.asked:
            assert all(write.results for write in self.writes), "a write waits, and nothing will wake it"

    @rule()
    def answer_all(self) -> None:
        for move in self._until_all_is_answered():
            move()
        assert all(write.results for write in self.writes), "a write waits, and nothing will wake it"
        assert not self.gathering._held
        assert not self.gathering._singles

    def _until_all_is_answered(self) -> Iterator[Callable[[], object]]:
        while self.singles or self.batch is not None or self.pause.asked:
            yield self.pause_over
            yield partial(self.answer_batch, "stored")
            if self.singles:
                write, done = self.singles.pop(0)
                yield partial(done, self._store(write))


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three writes be a group."""
    for name, value in (("ENTER", 3), ("LEAVE", 2), ("MOST", MOST), ("MOST_BYTES", MOST_BYTES), ("LARGE", LARGE)):
        monkeypatch.setattr(gathering, name, value)


def check(examples: int, *, is_same_each_time: bool = False) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        derandomize=is_same_each_time,
    )
    run_state_machine_as_test(Model, settings=chosen)


def test_each_write_is_sent_in_order_and_answered_once() -> None:
    check(100)


ENDED = Gathering._batch_ended


def takes_a_key_twice(group: Gathering[Any]) -> list[Any]:
    members, group._waiting = group._waiting, []
    return members


def answers_in_the_wrong_order(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    ENDED(group, members[::-1], result)


def forgets_the_pause(group: Gathering[Any]) -> None:
    group._pausing = False


def holds_nothing(group: Gathering[Any], under_way: Sequence[Any]) -> None:
    group._held = set()


HOLD = Gathering._hold


def holds_what_waits_only(group: Gathering[Any], under_way: Sequence[Any]) -> None:
    HOLD(group, ())


def holds_what_is_under_way_only(group: Gathering[Any], under_way: Sequence[Any]) -> None:
    group._held = {one.order for one in under_way}


def never_gathers_no_more(group: Gathering[Any]) -> None:
    group._last = 0


@pytest.mark.parametrize(
    ("name", "mutant", "said"),
    [
        ("_chosen", takes_a_key_twice, "has a key twice|a write that is alone"),
        ("_batch_ended", answers_in_the_wrong_order, "result of another one|overtaken"),
        ("_pause_over", forgets_the_pause, "nothing will wake it"),
        ("_hold", holds_nothing, "overtaken|while a batch has one"),
        ("_hold", holds_what_waits_only, "while a batch has one"),
        ("_hold", holds_what_is_under_way_only, "overtaken"),
        ("_gather_no_more", never_gathers_no_more, "takes no batches any more|nothing will wake it"),
    ],
)
def test_a_planted_bug_is_found(name: str, mutant: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gathering, name, mutant)
    with pytest.raises(AssertionError, match=said):
        check(2000, is_same_each_time=True)  # which examples find it must not depend on luck
