"""Requests to sagas: from a handle here, from the inbox, or passed on by another worker; applied by the owner alone.

A request is applied once by its id, and answered once that is durable; its verdict is kept in the record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from logging import getLogger
from math import inf

import msgspec
import trio
from sagakit_actors import ActorDied, ActorGone

from sagakit.engine import ENDS, EndMarker, Inbound, Loaded, Record, decode, known_verdict
from sagakit.engine.family import AFTER_THE_END
from sagakit.errors import UNREADABLE, Ambiguous, InvalidInput, NoResponders, NoWorker, Unavailable, UnknownSaga
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.inbound.channels import channel_of
from sagakit.system.inbound.inbox_request import InboxRequest
from sagakit.system.inbound.validation import checked_message
from sagakit.system.io.persistence import ask, read, through_outage
from sagakit.system.saga.saga_messages import Ask, AwaitOutcome

_log = getLogger("sagakit")

NOT_MINE = b"not mine"
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between looks at a saga that another worker runs."""
PASS_ON_TIMEOUT = 5.0
"""Seconds that another worker gets to apply a request."""


class PassedOn(msgspec.Struct, frozen=True):
    """A request on its way from one worker to another."""

    key: str
    message: Inbound


_passed_on = msgspec.json.Decoder(PassedOn)


class Requests:
    """Brings requests to the owners of sagas. For tasks of the worker's trio thread.

    `absent` is told of an owner that nobody listens for. `stranded` says why no worker can run a saga, if none can.
    """

    def __init__(
        self,
        store: Store,
        sagas: ActiveSagas,
        worker_id: str,
        *,
        absent: Callable[[str], None],
        stranded: Callable[[Record], Awaitable[NoWorker | None]],
    ) -> None:
        self._store = store
        self._sagas = sagas
        self._worker_id = worker_id
        self._absent = absent
        self._stranded = stranded

    async def here(self, key: str, message: Inbound) -> str | None:
        """Apply to a saga that lives here, active or at rest; the verdict, or None if it does not."""
        while (ref := self._sagas.reach(key)) is not None:
            try:
                verdict: str = await ref.ask(lambda reply: Ask(message, reply), timeout=inf)
                return verdict
            except (ActorDied, ActorGone):
                await trio.lowlevel.checkpoint()
        return None

    async def anywhere(self, key: str, message: Inbound) -> str | None:
        """Apply wherever the saga is; the verdict, or None if nobody owns it just now.

        Raises UnknownSaga, which `unknown` can explain.
        """
        verdict = await self.here(key, message)
        if verdict is not None:
            return verdict
        record, live = await self._find(key)
        verdict = verdict_of(record, message, live=live)
        if verdict is not None or record.owner == self._worker_id:
            return verdict
        return await self._pass_on(record.owner, PassedOn(key, message))

    async def post(self, key: str, message: Inbound) -> str | None:
        """Apply it, or leave it in the inbox for whoever will own the saga; durable either way. Raises UnknownSaga."""
        verdict = await self._now(key, message)
        if verdict is None:
            await self.send(SagaKey.parse(key), message.id, InboxRequest.of(message))
        return verdict

    async def deliver(self, key: str, message: Inbound) -> str:
        """Apply it, now or once somebody owns the saga; the verdict, which is durable. Raises UnknownSaga, NoWorker."""
        verdict = await self._now(key, message)
        if verdict is None:
            await self._check_live(key)  # before it is left in the inbox, where it would wait as long
            verdict = await self.post(key, message)
        pause = FIRST_LOOK
        while verdict is None:  # asked again, not only looked for: what the owner turns away leaves no trace
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)
            verdict = await self.anywhere(key, message)
            if verdict is None:
                await self._check_live(key, "; what was asked of it waits in the inbox, and is applied then")
        return verdict

    async def _now(self, key: str, message: Inbound) -> str | None:
        """As `anywhere`; the UnknownSaga says why."""
        try:
            return await self.anywhere(key, message)
        except UnknownSaga:
            raise await self.unknown(key) from None

    async def _check_live(self, key: str, besides: str = "") -> None:
        try:
            await self.check_runs(await self.record(key))
        except NoWorker as error:
            error.args = (f"{error}{besides}",)
            raise

    async def send(self, address: SagaKey, id: str, request: InboxRequest) -> None:
        """Put a request into the inbox; durable once this returns."""
        send = partial(
            self._store.inbox.send,
            channel_of(request),
            id=id,
            saga_type=address.saga_type,
            saga_id=address.saga_id,
            payload=msgspec.json.encode(request),
        )
        await through_outage(self._store, send)

    async def _pass_on(self, worker_id: str, request: PassedOn) -> str | None:
        payload = msgspec.json.encode(request)
        try:
            answer = await self._store.control.request(worker_id, payload, timeout=PASS_ON_TIMEOUT)
        except NoResponders:
            self._absent(worker_id)
            return None
        except (Ambiguous, Unavailable):
            return None
        return None if answer == NOT_MINE else answer.decode()

    async def answer(self, payload: bytes) -> bytes:
        """What another worker passed on. What callers and the inbox may not send may not come this way, either."""
        try:
            request = _passed_on.decode(payload)
            checked_message(request.message)
        except (*UNREADABLE, InvalidInput) as error:
            _log.warning("a request that another process passed on is not applied: %s", error)
            return NOT_MINE
        verdict = await self.here(request.key, request.message)
        return NOT_MINE if verdict is None else verdict.encode()

    # ------------------------------------------------------------- looking

    async def record(self, key: str) -> Record:
        """The last durable record under a live or archived key. Raises UnknownSaga, Undecodable."""
        try:
            return (await self._find(key))[0]
        except UnknownSaga:
            raise await self.unknown(key) from None

    async def unknown(self, key: str) -> UnknownSaga:
        """The error that says why no saga is stored under a key."""
        gone = await ask(self._store, self._store.state, key, self._store.state.deletion)
        if gone is None:
            return UnknownSaga(
                f"no saga is stored under {key}: it was never started, its retention is over, or it is in another "
                "store or namespace"
            )
        return UnknownSaga(
            f"no saga is stored under {key}: its record was deleted from outside, with {gone}; `Runtime.delete` makes "
            "its id free to be started"
        )

    async def _find(self, key: str) -> tuple[Record, bool]:
        """The record, and whether it is a live one."""
        for bucket in (self._store.state, self._store.archive):
            entry = await read(self._store, bucket, key)
            found = decode(key, entry.value) if entry is not None else None
            if isinstance(found, Loaded):
                return found.record, bucket is self._store.state
            assert found is None or isinstance(found, EndMarker)
        raise UnknownSaga(f"no saga is stored under {key}")

    async def check_runs(self, record: Record) -> None:
        """Raise NoWorker if no worker can run the saga, so that whoever waits for it would wait for ever."""
        error = await self._stranded(record)
        if error is not None:
            raise error

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait for the terminal record under `key`; with `or_stuck`, for a stuck one, too.

        Raises UnknownSaga, NoWorker.
        """
        pause = FIRST_LOOK
        while True:
            ref = self._sagas.reach(key)
            if ref is not None:
                with suppress(ActorDied, ActorGone):
                    record: Record = await ref.ask(lambda reply: AwaitOutcome(reply, or_stuck), timeout=inf)
                    return record
            record = await self.record(key)
            if record.status in ENDS or (or_stuck and record.status == "stuck"):
                return record
            await self.check_runs(record)
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)


def verdict_of(record: Record, message: Inbound, *, live: bool) -> str | None:
    """Return what a record tells of a message; `ended` if the saga is over and will never see it."""
    hears = live and message.kind in AFTER_THE_END
    return known_verdict(record, message) or ("ended" if record.status in ENDS and not hears else None)
