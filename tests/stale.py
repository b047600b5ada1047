"""A cancellation as a future may keep it for whoever asks: of something else, and long ago."""

from __future__ import annotations

import trio


def stale_cancellation() -> trio.Cancelled:
    """Not from within trio."""
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
