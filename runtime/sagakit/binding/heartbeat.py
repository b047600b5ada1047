"""The heartbeat of an attempt, which postpones its end."""

from __future__ import annotations

from math import inf

import trio

from sagakit.binding.lenders import CallEnvironment


class Heartbeat:
    """Postpones the end of an attempt by `pause` seconds, up to `ends`. May be called from any thread."""

    def __init__(self, environment: CallEnvironment, scope: trio.CancelScope, ends: float, pause: float) -> None:
        self._environment = environment
        self._scope = scope
        self._ends = ends
        self._pause = pause

    def __call__(self) -> None:
        if self._pause < inf:
            self._environment.trio_token.run_sync_soon(self.extend)

    def extend(self) -> None:
        """Postpone the end. Only for the trio thread."""
        self._scope.deadline = min(self._ends, trio.current_time() + self._pause)
