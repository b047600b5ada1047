"""Requests to sagas: from a handle here, from the inbox, or passed on by another worker; applied by the owner alone.

A request is applied once by its id, and answered once that is durable; its verdict is kept in the record.
"""

from __future__ import annotations

from math import inf

import msgspec
import trio
from sagakit_actors import ActorDied, ActorStopped

from sagakit.engine import ENDS, EndMarker, Inbound, Loaded, Record, decode
from sagakit.errors import Ambiguous, NoResponders, Unavailable, UnknownSaga
from sagakit.store.ports import Store
from sagakit.system.messages import Ask
from sagakit.system.persistence import read
from sagakit.system.sagas import Sagas

NOT_MINE = b"not mine"
PASS_ON_TIMEOUT = 5.0
"""Seconds that another worker gets to apply a request."""


class PassedOn(msgspec.Struct, frozen=True):
    """A request on its way from one worker to another."""

    key: str
    message: Inbound


_passed_on = msgspec.json.Decoder(PassedOn)


class Requests:
    """Brings requests to the owners of sagas. For tasks of the worker's trio thread."""

    def __init__(self, store: Store, sagas: Sagas, worker_id: str) -> None:
        self._store = store
        self._sagas = sagas
        self._worker_id = worker_id

    async def here(self, key: str, message: Inbound) -> str | None:
        """Apply to a saga that is active here; the verdict, or None if it is not."""
        while (ref := self._sagas.get(key)) is not None:
            try:
                verdict: str = await ref.ask(lambda reply: Ask(message, reply), timeout=inf)
                return verdict
            except (ActorDied, ActorStopped):
                await trio.lowlevel.checkpoint()
        return None

    async def anywhere(self, key: str, message: Inbound) -> str | None:
        """Apply wherever the saga is; the verdict, or None if nobody owns it just now. Raises UnknownSaga."""
        verdict = await self.here(key, message)
        if verdict is not None:
            return verdict
        record = await self.record(key)
        verdict = verdict_of(record, message.id)
        if verdict is not None or record.owner == self._worker_id:
            return verdict
        return await self._pass_on(record.owner, PassedOn(key, message))

    async def _pass_on(self, worker_id: str, request: PassedOn) -> str | None:
        payload = msgspec.json.encode(request)
        try:
            answer = await self._store.control.request(worker_id, payload, timeout=PASS_ON_TIMEOUT)
        except (NoResponders, Ambiguous, Unavailable):
            return None
        return None if answer == NOT_MINE else answer.decode()

    async def answer(self, payload: bytes) -> bytes:
        """What another worker passed on."""
        try:
            request = _passed_on.decode(payload)
        except msgspec.DecodeError:
            return NOT_MINE
        verdict = await self.here(request.key, request.message)
        return NOT_MINE if verdict is None else verdict.encode()

    async def record(self, key: str) -> Record:
        """The last durable record under a live or archived key. Raises UnknownSaga, Undecodable."""
        for bucket in (self._store.state, self._store.archive):
            entry = await read(self._store, bucket, key)
            found = decode(key, entry.value) if entry is not None else None
            if isinstance(found, Loaded):
                return found.record
            assert found is None or isinstance(found, EndMarker)
        raise UnknownSaga(f"no saga is stored under {key}: it was never started, or its retention is over")


def verdict_of(record: Record, message_id: str) -> str | None:
    """What became of a request that was applied; `ended` if the saga is over and never saw it."""
    for known in record.inbound:
        if known.id == message_id:
            return known.verdict
    return "ended" if record.status in ENDS else None
