"""The light way to change sagas by messages: a plain connection, by which verbs are tried out and sent.

A command has it under asyncio, and then loads no trio and no worker's parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
from msgspec import structs

from sagakit.cli.looking_only import Looker, Looking
from sagakit.client.burials import Burials
from sagakit.client.changes import Changes
from sagakit.client.fleet_view import FleetView
from sagakit.client.lookup import Lookup
from sagakit.client.messenger import Messenger
from sagakit.client.reaching import client_connection, usable_names
from sagakit.client.refusals import is_taken, refusal
from sagakit.client.trials import NO_WORKER, Answer, Trials
from sagakit.definition import Plan
from sagakit.definition.payloads import Payloads
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidConfig, NoWorker, UnknownSaga
from sagakit.jetstream.asyncio_run import run_on_wire
from sagakit.jetstream.asyncio_wire import AsyncioWire
from sagakit.messages.limits import limits_for
from sagakit.messages.sealing import message_of
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import Wire
from sagakit.system.config import Config


class Operating(Looker):
    """A `Choosing` that also tries verbs out, and sends them. `opened_at` is the server's time when it was made.

    `ttl` is the option `lease_ttl` of the workers. For one task; `send` to one saga at a time.
    """

    def __init__(self, wire: Wire, names: Names, payloads: Payloads, *, ttl: float, opened_at: float) -> None:
        self._lookup = Lookup(wire, names)
        super().__init__(wire, names, self._lookup.reading, opened_at)
        self._on = wire
        self._payloads = payloads
        fleet = FleetView(wire, self._lookup, ttl=ttl)
        self._changes = Changes(wire, names)
        self._messenger = Messenger(wire, names, self._lookup, self._changes, Burials(wire, names), fleet)
        limits = limits_for(wire.max_payload, max_isolated_crashes=1)
        self._trials = Trials(fleet.check_runs, self._lookup.plan_of, limits)

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key. Raises UnknownSaga, Undecodable, StoreError."""
        return (await self._lookup.find(key))[0]

    async def plan_of(self, record: Record) -> Plan | None:
        """Return the plan that the workers keep of the saga's version; None if it is gone or cannot be read."""
        return await self._lookup.plan_of(record)

    async def try_out(
        self, record: Record, kind: InboundKind, *, step: str = "", payload: msgspec.Raw = NOTHING
    ) -> Answer:
        """Return the answer that the saga, as the record shows it, would give to a message. Changes nothing."""
        return await self._trials.of(record, kind, self.now(), step=step, payload=payload)

    async def send(
        self,
        record: Record,
        kind: InboundKind,
        *,
        reason: str = "",
        by: str = "",
        step: str = "",
        payload: msgspec.Raw = NOTHING,
        id: str | None = None,
        timeout: float,
    ) -> Answer:
        """Apply a message to a saga. Return the verdict, with the reason of a refusal.

        The message names the run of `record`: if the id has a new life by now, the verdict is `other run`.
        After `timeout` seconds without an owner's answer the verdict is `unanswered`; the message may be applied later.
        Raises InvalidInput before anything is sent.
        """
        key = str(SagaKey(record.saga_type, record.saga_id))
        message = message_of(self._payloads, key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
        message = structs.replace(message, run=record.run)
        verdicts: list[str] = []

        async def apply() -> None:
            verdicts.append(await self._messenger.apply(key, message))
            raise _OverError

        async def give_up() -> None:
            await self._on.sleep(timeout)
            raise _OverError

        try:
            with suppress(_OverError):
                await self._on.together(apply, give_up, self._changes.keep)
        except UnknownSaga as error:
            return Answer("no such saga", str(error))
        except NoWorker as error:
            return Answer(NO_WORKER, str(error))
        if not verdicts:
            return Answer("unanswered", f"no worker has answered in {timeout:g} s; it may still be applied later")
        return Answer(verdicts[0], await self._why(key, kind, step, verdicts[0]))

    async def _why(self, key: str, kind: InboundKind, step: str, verdict: str) -> str:
        if is_taken(kind, verdict):
            return ""
        record: Record | None = None
        with suppress(UnknownSaga):  # it has ended since the verdict
            record = await self.record(key)
        return str(refusal(key, kind, step, verdict, record))


class _OverError(Exception):
    """The end of the wait for a verdict."""


def operating(sagas: Looking, config: Config, payloads: Payloads) -> Operating:
    """Return the way over the connection of a program that looks at sagas.

    Raises InvalidConfig for a store in memory, which ends with its process.
    """
    if sagas.wire is None:
        raise InvalidConfig("the sagas of a store in memory end with their process: no command can change them")
    return Operating(sagas.wire, sagas.names, payloads, ttl=config.lease_ttl, opened_at=sagas.now())


def operate(url: str, config: Config, payloads: Payloads, work: Callable[[Operating], Awaitable[int | None]]) -> int:
    """Connect to a running server, do the work, and return its exit code. Raises the errors of `open_client`."""

    async def run(wire: AsyncioWire) -> int:
        names = await usable_names(wire, wire.server_version, config)
        opened_at = await Lookup(wire, names).reading.now()
        return await work(Operating(wire, names, payloads, ttl=config.lease_ttl, opened_at=opened_at)) or 0

    return run_on_wire(client_connection(url, config), run)
