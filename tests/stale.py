"""A cancellation that a future may keep and raise again: of other work, and long ago."""

from __future__ import annotations

import trio


def stale_cancellation() -> trio.Cancelled:
    """Return a cancellation. Call this outside of trio."""
    kept: list[trio.Cancelled] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                kept.append(error)
                raise

    trio.run(main)
    return kept[0]


STALE = stale_cancellation()
