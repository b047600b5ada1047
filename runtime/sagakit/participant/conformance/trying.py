"""The trial: all clauses are tried on one participant, one clause after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from sagakit.client.json_shapes import ClauseLine
from sagakit.engine.record import NOTHING
from sagakit.messages.ids import new_id
from sagakit.naming import SagaKey
from sagakit.participant.conformance.clauses import CLAUSES, Clause, ProbeCommand
from sagakit.participant.conformance.exchange import Exchange, Tried, reply_subject, written
from sagakit.participant.conformance.judging import judged, not_tried, overall
from sagakit.participant.conformance.probing import Prober
from sagakit.store.names import Names
from sagakit.store.ports import Wire

WITHIN = 60.0
"""Seconds that a participant has to answer and acknowledge a command."""
AGAIN = 0.2
"""Seconds after which a command is sent again that was answered `retry`."""
LATER = 10
"""Number by which the attempt of such a command grows: no clause has an attempt of that number."""


async def try_participant(wire: Wire, names: Names, tried: Tried, *, within: float = WITHIN) -> Sequence[ClauseLine]:
    """Try every clause on a participant, and return the verdicts. `within` is in seconds, for each command.

    It has the participant work: use a payload that may be done. The replies are removed from the inbox at the end;
    dead letters stay. After a command that is not acknowledged in time nothing more is tried. Raises LayoutMissing,
    NotPermitted, StoreError.
    """
    run_id = new_id()[:12]
    saga_type = f"Conformance_{run_id}"
    prober = Prober(wire, names, tried.service, saga_type, within=within)
    await prober.open()
    try:
        return await Trial(prober, names, tried, saga_type, run_id, within=within).run()
    finally:
        await prober.close()


class Probing(Protocol):
    """The way to a participant, as a trial needs it; `Prober` is the one over NATS."""

    async def exchange(self, exchange: Exchange, endpoint: str) -> None:
        """Send a command, and note what is heard until it is acknowledged or the time is up."""
        ...

    async def consumer(self, endpoint: str) -> Mapping[str, Any] | None:
        """Return the settings of an endpoint's consumer; None if there is none."""
        ...

    async def now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions at the same time, and return when all have ended."""
        ...


class Trial:
    """A trial of one participant. `saga_type` and `run_id` are in every key, and no other trial has them."""

    def __init__(
        self, probing: Probing, names: Names, tried: Tried, saga_type: str, run_id: str, *, within: float
    ) -> None:
        self._probing = probing
        self._names = names
        self._tried = tried
        self._type = saga_type
        self._run_id = run_id
        self._within = within
        self._exchanges: list[Exchange] = []

    async def run(self) -> Sequence[ClauseLine]:
        """Try all clauses, and return the verdicts."""
        results = [await self._result(clause) for clause in CLAUSES]
        endpoints = filter(None, (self._tried.do, self._tried.undo, self._tried.check))
        consumers = {self._names.command_subject(one): await self._probing.consumer(one) for one in endpoints}
        return [*results, *overall(self._exchanges, consumers)]

    async def _result(self, clause: Clause) -> ClauseLine:
        if not all(one.is_settled for one in self._exchanges):
            return not_tried(clause, "an earlier command was not acknowledged: does anybody serve the endpoint?")
        lacking = next(filter(None, map(self._tried.lacks, clause.all_commands)), "")
        return not_tried(clause, f"{lacking} is not given") if lacking else judged(clause, await self._sent(clause))

    async def _sent(self, clause: Clause) -> Sequence[Exchange]:
        """Send the commands of a clause, up to the first one that is not acknowledged; return what was heard."""
        found, now = list[Exchange](), await self._probing.now()
        for batch in clause.commands:
            heard: dict[int, Exchange] = {}

            async def send(place: int, sent: ProbeCommand, heard: dict[int, Exchange] = heard) -> None:
                heard[place] = await self._settled(clause, sent, now, _result_under(sent.key, found))

            await self._probing.together(*(partial(send, place, sent) for place, sent in enumerate(batch)))
            found.extend(heard[place] for place in range(len(batch)))
            if not all(one.is_settled for one in found):
                break
        return found

    async def _settled(self, clause: Clause, sent: ProbeCommand, now: float, result: msgspec.Raw) -> Exchange:
        """Send a command; send later attempts while the answer is an unexpected `retry`. Return the last exchange."""
        while True:
            exchange = self._exchange(clause, sent, now, result)
            self._exchanges.append(exchange)
            await self._probing.exchange(exchange, self._tried.endpoint(sent))
            is_late = await self._probing.now() > now + self._within
            if exchange.answer != "retry" or "retry" in sent.answers or is_late:
                return exchange
            sent = msgspec.structs.replace(sent, attempt=sent.attempt + LATER)
            await self._probing.sleep(AGAIN)

    def _exchange(self, clause: Clause, sent: ProbeCommand, now: float, result: msgspec.Raw) -> Exchange:
        step, group = sent.key.split("/")
        saga = SagaKey(self._type, f"{clause.id}-{step}-{group}-{sent.kind}-{sent.attempt}")
        command = self._tried.command(
            sent,
            f"{self._type}/{clause.id}/{self._run_id}/{step}/do/{group}",
            reply_to=reply_subject(self._names, self._tried, sent, saga),
            now=now,
            result=result,
        )
        return Exchange(sent=sent, command=command, payload=written(sent, command), saga=saga)


def _result_under(key: str, exchanges: Sequence[Exchange]) -> msgspec.Raw:
    """Return the result of what was done under a key; NOTHING if nothing was."""
    done = (one.reply for one in exchanges if one.sent.key == key and one.sent.kind == "do" and one.answer == "done")
    return next((reply.payload for reply in done if reply is not None), NOTHING)
