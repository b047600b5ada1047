"""The watchdog: a thread that logs which saga, step and line blocks an event loop, or does not end in time.

A step that blocks the loop (`time.sleep`, a driver that waits) stops every saga of the worker. The worker's lease is
not renewed then either, and other workers declare it dead. The loop itself cannot log that; a thread can look at its
stack.

The thread also logs which plain function has outlived its timeout: no thread can be stopped, so its saga waits.

The thread asks each loop for a sign of life, and asks again once the sign has come. So the loop needs no timer, and an
idle loop costs nothing else.
"""

from __future__ import annotations

import linecache
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import trio

from sagakit import errors
from sagakit.binding import permit, saga_binding
from sagakit.binding.thread_calls import ThreadCall, overdue
from sagakit.definition import Context
from sagakit.engine.record import PersistedSagaState

if TYPE_CHECKING:
    import asyncio

_log = getLogger("sagakit.watchdog")

FIRST = 1.0
"""Seconds that a loop has been blocked, or a call overdue, when it is first logged. Each doubling is logged again."""
LOOK = 0.25
"""Seconds between two looks at the loops."""
IDLE = ("get_events", "select", "poll")
"""Functions in which a loop waits for something to do. A loop found there is not blocked: the process was stopped."""


class LoopBlocks(NamedTuple):
    """The times in which one loop gave no sign of life for longer than LOOK seconds, since the worker was opened."""

    loop: str
    """Name of the loop: `trio` or `asyncio`."""
    total: float
    """Seconds of all of them together."""
    longest: float
    """Seconds of the longest one."""


class Watchdog:
    """Watches loops from its own thread. `blame` and `blocks` are for any thread."""

    def __init__(self, loops: list[_WatchedLoop]) -> None:
        self._loops = loops
        self._stop = threading.Event()

    def blocks(self) -> list[LoopBlocks]:
        """Return for how long each loop has been blocked so far. A pause of the whole process counts, too."""
        return [LoopBlocks(loop.name, loop.blocked, loop.longest) for loop in self._loops]

    def blame(self, seconds: float) -> str:
        """Return the code that has blocked the trio loop within the last `seconds`; empty if none is known."""
        loop = self._loops[0]
        return loop.culprit if time.monotonic() - loop.blocked_at <= seconds else ""

    def run(self) -> None:
        """Look at the loops every LOOK seconds, until stopped. To be run in the watchdog's thread."""
        while not self._stop.wait(LOOK):
            for loop in self._loops:
                loop.look(time.monotonic())
            now = time.monotonic()
            for call in overdue(now - FIRST):
                _look_at(call, now)

    def stop(self) -> None:
        """End the thread soon."""
        self._stop.set()


class _WatchedLoop:
    """A loop under watch. `look` runs in the watchdog's thread, `_sign` in the thread of the loop."""

    def __init__(self, name: str, ask: Callable[[Callable[[], object]], object], thread: int | None) -> None:
        self.name = name
        self._ask = ask
        self._thread = thread
        self._asked_at = time.monotonic()
        self._owes = False
        self._next = FIRST
        self.blocked: float = 0.0
        self.longest: float = 0.0
        self.culprit: str = ""
        self.blocked_at: float = -sys.float_info.max

    def look(self, now: float) -> None:
        """Ask for a sign of life, or log that there was none for too long."""
        if not self._owes:
            self._owes, self._asked_at, self._next = True, now, FIRST
            try:
                self._ask(self._sign)
            except RuntimeError:  # the loop has closed: it gives no sign any more, and its thread runs something else
                self._thread = None
        elif now - self._asked_at >= self._next:
            self._next *= 2
            self._say(now)

    def _sign(self) -> None:
        self._thread = threading.get_ident()
        if self._owes:
            silent = time.monotonic() - self._asked_at
            if silent > LOOK:
                self.blocked += silent
                self.longest = max(self.longest, silent)
        self._owes = False

    def _say(self, now: float) -> None:
        frame = None if self._thread is None else sys._current_frames().get(self._thread)
        if frame is None or frame.f_code.co_name in IDLE:
            return
        self.culprit, self.blocked_at = culprit_of(frame), now
        _log.warning(
            "%s has blocked the %s loop for %.1f s: no saga of this worker moves meanwhile; make the step a plain "
            "function, which runs in a thread, or await what it waits for",
            self.culprit,
            self.name,
            now - self._asked_at,
        )


def _look_at(call: ThreadCall, now: float) -> None:
    """Log a call that runs in a thread although its timeout is over, at each doubling of the time since then."""
    frame = sys._current_frames().get(call.thread)
    if frame is None or (call.log_at is not None and now < call.log_at):
        return
    late = now - call.due
    call.log_at = now + late
    _log.warning(
        "%s runs %.1f s longer than its timeout of %g s: Python cannot stop a thread, so its saga waits until the "
        "function returns; give what it waits for a timeout of its own, below that of the step",
        culprit_of(frame),
        late,
        call.timeout,
    )


@contextmanager
def watching(other: asyncio.AbstractEventLoop | None) -> Iterator[Watchdog]:
    """Watch the running trio loop, and an asyncio loop in another thread if there is one, while the context is open."""
    loops = [_WatchedLoop("trio", trio.lowlevel.current_trio_token().run_sync_soon, threading.get_ident())]
    if other is not None:
        # no thread yet: the first sign of life says which one runs this loop
        loops.append(_WatchedLoop("asyncio", other.call_soon_threadsafe, None))
    for loop in loops:
        loop.look(time.monotonic())
    watchdog = Watchdog(loops)
    try:
        threading.Thread(target=watchdog.run, name="sagakit-watchdog", daemon=True).start()
    except RuntimeError as error:  # the system has no thread left: the worker can do without this one
        _log.warning("the watchdog cannot start, so steps that block the event loop are not reported: %s", error)
    try:
        yield watchdog
    finally:
        watchdog.stop()


def culprit_of(innermost: FrameType) -> str:
    """Return the saga and the step whose code a thread runs, as far as that is known, and the line.

    The line is the innermost one of the user's own code: not the line in which a library waits, but its caller.
    """
    frames = list(_outward(innermost))
    who, inside = "", frames
    for number, frame in enumerate(frames):
        who = _who(frame)
        if who:
            inside = frames[:number]
            break
    line = next(filter(_is_users, inside), innermost)
    return f"{who or 'code'} at {_where(line)}"


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_users(frame: FrameType) -> bool:
    """Return True if the code belongs neither to Python, nor to an installed package, nor to sagakit."""
    path = Path(frame.f_code.co_filename)
    return not path.is_relative_to(_OURS) and not any(path.is_relative_to(folder) for folder in _LIBRARIES)


_OURS = Path(errors.__file__).parent
_LIBRARIES = [
    Path(trio.__file__).parent.parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
]


def _where(frame: FrameType) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}" + (f": {text}" if text else "")


def _who(frame: FrameType) -> str:
    """Return the saga and the step whose function a frame of sagakit calls; empty for any other frame."""
    if frame.f_globals is not saga_binding.__dict__ and frame.f_globals is not permit.__dict__:
        return ""
    args, record = frame.f_locals.get("args"), frame.f_locals.get("record")
    ctx = args[-1] if isinstance(args, tuple) and args else None
    if isinstance(ctx, Context):
        step, kind, _ = ctx.key.rsplit("/", 3)[1:]
        return f"{_CALLED[kind]} {step} of {ctx.saga_type}.{ctx.saga_id} (attempt {ctx.attempt})"
    return f"a function of {record.saga_type}.{record.saga_id}" if isinstance(record, PersistedSagaState) else ""


_CALLED = {"do": "step", "undo": "the compensation of step", "check": "the check of step"}
