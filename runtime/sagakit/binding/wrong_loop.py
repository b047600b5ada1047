"""Advice on calls into an event loop that does not run: asyncio under trio, trio under asyncio, either in a thread."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sagakit.definition import Function
from sagakit.definition.raised import MAX_TEXT, leaves_of, shorten, told

Loop: TypeAlias = Literal["asyncio", "trio"]

_SAYS: dict[str, Loop] = {
    "no running event loop": "asyncio",
    "no current event loop": "asyncio",
    "should be used inside a task": "asyncio",
    "cannot determine the parent task": "asyncio",
    "trio.run received unrecognized yield": "asyncio",  # of trio, which was given what asyncio waits for
    "You're within a Trio environment": "asyncio",  # of trio-asyncio, for asyncio.run
    "asyncio.run() cannot be called from a running event loop": "asyncio",
    "Attempted to call run() from inside a run()": "trio",
    "Task got bad yield": "trio",  # of asyncio, which was given what trio waits for
    "must be called from async context": "trio",
    "'RunContext' object has no attribute": "trio",
}
"""Phrases of asyncio, trio and trio-asyncio, each with the loop that is missing."""
_OF_A_LOOP = (
    "call_at",
    "call_later",
    "call_soon",
    "create_connection",
    "create_future",
    "create_task",
    "run_in_executor",
)
"""Methods of a loop. trio-asyncio gives None in the place of a loop, so that they raise AttributeError."""
_IN_PLACE = ": it is called in place, where nothing can be awaited: do that in a step, and take its result"


def advised(error: BaseException, function: Function) -> str:
    """Return the error in words, with advice if it comes from a loop that does not run."""
    missing = _missing(error)
    if missing is None or missing == function.runner:
        return told(error)
    if function.runner == "thread":
        advice = f': no {missing} loop runs here: make the function `async def`, with backend="{missing}"'
    else:
        advice = (
            f": {missing} is called in a function that runs under {function.runner}: say "
            f'@step(backend="{missing}"), or class ...(Saga[...], backend="{missing}")'
        )
    return _with(told(error), advice)


def advised_in_place(error: BaseException, text: str) -> str:
    """Return the text of an error of a function without effects, with advice if it needed a loop."""
    return text if _missing(error) is None else _with(text, _IN_PLACE)


def _with(text: str, advice: str) -> str:
    return shorten(text, MAX_TEXT - len(advice)) + advice


def _missing(error: BaseException) -> Loop | None:
    """Return the loop that is missing for an error, or for one in a group; None if it has another cause."""
    return next((loop for leaf in leaves_of(error) if (loop := _missing_for(leaf)) is not None), None)


def _missing_for(error: BaseException) -> Loop | None:
    if isinstance(error, AttributeError) and error.obj is None and error.name in _OF_A_LOOP:
        return "asyncio"
    if not isinstance(error, RuntimeError | TypeError | AttributeError):
        return None
    text = told(error)
    return next((loop for says, loop in _SAYS.items() if says in text), None)
