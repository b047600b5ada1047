"""The way of requests to sagas: from a handle, from the inbox or from another worker to the owner, which applies them.

A request is applied once, by its id. It is answered once that is durable, and its verdict is kept in the record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from logging import getLogger
from math import inf

import msgspec
import trio
from sagakit_actors import ActorDied, ActorGone

from sagakit.engine import ENDS, EndMarker, Inbound, Loaded, Record, decode
from sagakit.errors import (
    UNREADABLE,
    Ambiguous,
    InvalidInput,
    NoResponders,
    NotPermitted,
    NoWorker,
    Unavailable,
    UnknownSaga,
)
from sagakit.messages.answered import answered
from sagakit.messages.channels import channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.start_context import StartTerms
from sagakit.messages.validation import checked_message
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.inbound.absences import Absences
from sagakit.system.io.persistence import ask, read, through_outage
from sagakit.system.saga.saga_messages import Ask, AwaitOutcome

_log = getLogger("sagakit")

NOT_MINE = b"not mine"
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between two looks at a saga that another worker runs: at first, and at the most."""
PASS_ON_TIMEOUT = 5.0
"""Seconds that another worker gets to apply a request."""


class PassedOn(msgspec.Struct, frozen=True):
    """A request on its way from one worker to another."""

    key: str
    message: Inbound


_passed_on = msgspec.json.Decoder(PassedOn)


class Requests:
    """Brings requests to the owners of sagas. For tasks of the worker's trio thread.

    `absent` is called with the id of an owner on whose control subject nobody listens. `stranded` returns the error for
    a saga that no worker can run, else None.
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
        self._absences = Absences()

    async def here(self, key: str, message: Inbound) -> str | None:
        """Apply a message to a saga that is here, active or passivated. Return its verdict; None if it is not here."""
        if message.kind == "heartbeat" and self.notes_heartbeat(key, message):
            return "already"
        while (ref := self._sagas.reach(key, looks=False, run=message.run)) is not None:
            try:
                verdict: str = await ref.ask(lambda reply: Ask(message, reply), timeout=inf)
                return verdict
            except (ActorDied, ActorGone):
                await trio.lowlevel.checkpoint()
        return None

    def notes_heartbeat(self, key: str, message: Inbound) -> bool:
        """Note a heartbeat of an attempt that is minded here. Return True if that was all that it asks for."""
        return self._sagas.signs.heard(key, message)

    async def anywhere(self, key: str, message: Inbound, *, sparing: bool = False) -> str | None:
        """Apply a message wherever the saga is. Return its durable verdict, or None if no owner answers.

        With `sparing`, a look of a moment ago that found no saga is not repeated.

        After None the message may have been applied all the same: the owner's answer may have been lost. Raises
        UnknownSaga, which `unknown` can explain, Undecodable and StoreError.
        """
        verdict = await self.here(key, message)
        if verdict is not None:
            return verdict
        if sparing and self._absences.has(key):
            raise UnknownSaga(f"no saga was stored under {key} a moment ago")
        record, live = await self._find(key)
        verdict = answered(record, message, live=live)
        if verdict is not None or record.owner == self._worker_id:
            return verdict
        return await self._pass_on(record.owner, PassedOn(key, message))

    def is_absent(self, key: str) -> bool:
        """Return True if a saga is not here, and a look of a moment ago has not found it anywhere."""
        return self._absences.has(key) and not self._sagas.has(key)

    async def post(self, key: str, message: Inbound) -> str | None:
        """Apply a message, or leave it in the inbox for the next owner; durable either way. Raises UnknownSaga.

        Return its verdict, or None if it was left in the inbox.
        """
        verdict = await self._now(key, message)
        if verdict is None:
            await self.send(SagaKey.parse(key), message.id, InboxRequest.of(message))
        return verdict

    async def deliver(self, key: str, message: Inbound) -> str:
        """Apply a message, now or once a worker owns the saga. Return its durable verdict.

        Waits for the owner; if that is cancelled, the message may be applied later. Raises UnknownSaga, NoWorker.
        """
        verdict = await self._now(key, message)
        if verdict is None:
            await self._check_live(key)  # first: in the inbox the message would wait as long as the saga has no worker
            verdict = await self.post(key, message)
        pause = FIRST_LOOK
        # apply it again, not only look for it in the record: an owner that refuses a message keeps no trace of that
        while verdict is None:
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)
            verdict = await self.anywhere(key, message)
            if verdict is None:
                await self._check_live(key, "; what was asked of it waits in the inbox, and is applied then")
        return verdict

    async def signal_known(self, key: str, known: Record | EndMarker, terms: StartTerms) -> str:
        """Send the signal of a start to the saga that is known. Return its verdict. Raises as `deliver`."""
        assert terms.signal is not None, "only a start with a signal has one to send"
        return "ended" if isinstance(known, EndMarker) else await self.deliver(key, terms.signal)

    async def _now(self, key: str, message: Inbound) -> str | None:
        """Apply as `anywhere`, but raise an UnknownSaga that says why the saga is not stored."""
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
        """Put a request into the inbox; durable once this returns. Waits through an outage. Raises StoreError."""
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
        except (Ambiguous, Unavailable, NotPermitted):  # accounts that are not workers may send to the inbox only
            return None
        return None if answer == NOT_MINE else answer.decode()

    async def answer(self, payload: bytes) -> bytes:
        """Apply a request that another worker has passed on, and return the answer: the verdict, or NOT_MINE."""
        try:
            # checked like any other message: a process that may publish on the control subject need not be a worker
            request = _passed_on.decode(payload)
            checked_message(request.message)
        except (*UNREADABLE, InvalidInput) as error:
            _log.warning("a request that another process passed on is not applied: %s", error)
            return NOT_MINE
        verdict = await self.here(request.key, request.message)
        return NOT_MINE if verdict is None else verdict.encode()

    # ------------------------------------------------------------- looking

    async def record(self, key: str) -> Record:
        """Return the last durable record under a live or archived key. Raises UnknownSaga, Undecodable, StoreError."""
        try:
            return (await self._find(key))[0]
        except UnknownSaga:
            raise await self.unknown(key) from None

    async def unknown(self, key: str) -> UnknownSaga:
        """Return the error that says why no saga is stored under a key."""
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
        """Return the record under a key, and True if it is a live one."""
        # in this order: a saga that is archived between the two reads is found by the second one
        for bucket in (self._store.state, self._store.archive):
            entry = await read(self._store, bucket, key)
            found = decode(key, entry.value) if entry is not None else None
            if isinstance(found, Loaded):
                return found.record, bucket is self._store.state
            assert found is None or isinstance(found, EndMarker)
        self._absences.note(key)
        raise UnknownSaga(f"no saga is stored under {key}")

    async def check_runs(self, record: Record) -> None:
        """Raise NoWorker if no worker can run the saga, so that its callers would wait forever."""
        error = await self._stranded(record)
        if error is not None:
            raise error

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait for the terminal record under `key`, or with `or_stuck` for a stuck one, and return it.

        Raises UnknownSaga, NoWorker, Undecodable.
        """
        pause = FIRST_LOOK
        while True:
            ref = self._sagas.reach(key)
            if ref is not None:
                try:
                    last: Record = await ref.ask(lambda reply: AwaitOutcome(reply, or_stuck), timeout=inf)
                    return last
                except (ActorDied, ActorGone):
                    _log.debug("%s: its actor has gone, the store tells how it stands", key)
            record = await self.record(key)
            if record.status in ENDS or (or_stuck and record.status == "stuck"):
                return record
            await self.check_runs(record)
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)
