"""Runtimes that share a process restore the garbage collector's threshold, in whatever order they close."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import permutations
from types import TracebackType

import pytest
import trio
from sagakit import open_runtime
from sagakit.cluster.garbage import collecting_less

from tests.sagas import BookTrip


@pytest.fixture(autouse=True)
def found() -> Iterator[tuple[int, int, int]]:
    """Set a threshold for the process, and restore the former one after the test."""
    before = gc.get_threshold()
    gc.set_threshold(1000, 11, 12)
    yield gc.get_threshold()
    gc.set_threshold(*before)


class Opened:
    """A runtime in a thread of its own, which is open until the context ends."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._is_open = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._main])

    async def _main(self) -> None:
        async with open_runtime("memory:", sagas=[BookTrip()], gc_threshold=self._threshold):
            self._is_open.set()
            await trio.to_thread.run_sync(self._leave.wait)

    def __enter__(self) -> Opened:
        self._thread.start()
        assert self._is_open.wait(60)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave.set()
        self._thread.join()


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_largest_threshold_is_in_force_until_the_last_runtime_closes(
    first: str, found: tuple[int, int, int]
) -> None:
    a, b, quiet = Opened(100_000), Opened(200_000), Opened(0)
    with quiet:
        assert gc.get_threshold() == found
        a.__enter__()
        assert gc.get_threshold() == (100_000, 11, 12)
        b.__enter__()
        assert gc.get_threshold() == (200_000, 11, 12)
        one, other, left = (a, b, 200_000) if first == "a" else (b, a, 100_000)
        one.__exit__(None, None, None)
        assert gc.get_threshold() == (left, 11, 12)
        other.__exit__(None, None, None)
        assert gc.get_threshold() == found


@pytest.mark.parametrize("order", list(permutations([10, 50_000, 100_000])), ids=str)
def test_the_former_threshold_comes_back_whatever_the_order_of_closing(
    order: tuple[int, ...], found: tuple[int, int, int]
) -> None:
    stacks = {threshold: ExitStack() for threshold in (50_000, 10, 100_000)}
    for threshold, stack in stacks.items():
        stack.enter_context(collecting_less(threshold))
    for threshold in order:
        assert gc.get_threshold()[0] == max(*stacks, found[0])
        stacks.pop(threshold).close()
    assert gc.get_threshold() == found


def test_threads_that_open_and_close_all_the_time_restore_the_threshold(found: tuple[int, int, int]) -> None:
    def open_and_close(threshold: int) -> None:
        for _ in range(2000):
            with collecting_less(threshold):
                pass

    threads = [threading.Thread(target=open_and_close, args=[50_000 + number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.get_threshold() == found


def test_a_collector_that_is_turned_off_stays_off() -> None:
    gc.set_threshold(0, 11, 12)
    with collecting_less(50_000):
        assert gc.get_threshold() == (0, 11, 12)
    assert gc.get_threshold() == (0, 11, 12)
