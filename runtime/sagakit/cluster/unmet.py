"""The reports of child types that no worker runs, while starts of such children wait in the inbox."""

from __future__ import annotations

import random
from collections.abc import Sequence
from logging import WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.cluster.elsewhere import Elsewhere
from sagakit.errors import StoreError
from sagakit.ration import Ration
from sagakit.store.ports import Store

_log = getLogger("sagakit.cluster")


class UnmetTypes(Actor[None]):
    """Warns, about every `interval` seconds, of types that no worker runs and of which starts wait in the inbox.

    `saga_types` are the types of the children that sagas of this worker start and that this worker does not know.
    """

    tasks = True

    def __init__(self, store: Store, elsewhere: Elsewhere, saga_types: Sequence[str], *, interval: float) -> None:
        self._store = store
        self._elsewhere = elsewhere
        self._saga_types = saga_types
        self._interval = interval
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def started(self, ctx: ActorContext[None]) -> None:
        """Look from now on."""
        ctx.nursery.start_soon(self._look_again_and_again)

    async def _look_again_and_again(self) -> None:
        while True:
            await trio.sleep(self._interval * (0.5 + random.random()))
            try:
                for saga_type in self._saga_types:
                    await self._look(saga_type)
            except StoreError as error:
                _log.debug("cannot find out whether children wait for a worker: %s", error)

    async def _look(self, saga_type: str) -> None:
        if await self._store.inbox.any_start(saga_type) and not await self._elsewhere.runs(saga_type):
            text = "children of type %s wait, and no worker runs them: start a worker that has this class"
            self._ration.say(WARNING, text, saga_type, kind=saga_type)
