"""The clauses of the participant contract, judged without a server: each finds the fault that is planted for it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio
from sagakit.client.json_shapes import ClauseLine
from sagakit.jetstream.wire import header_fields
from sagakit.participant import CommandContext, Keys, MemoryKeys, Reject, Service, SqlKeys, keys_table_sql
from sagakit.participant.conformance.clauses import CLAUSES, OVERALL
from sagakit.participant.conformance.exchange import Exchange, HeardReply, Tried
from sagakit.participant.conformance.trying import LATER, Trial
from sagakit.participant.serving import Serving, endpoints_of
from sagakit.store.names import Names
from sagakit.store.ports import WireMessage

from tests.participant.faults import (
    Forgetful,
    Heard,
    NoBurning,
    NoDedup,
    NoReservation,
    Nostalgic,
    NoTombstone,
    altered,
    fails,
    has,
    only,
    replies_once_more,
    replies_with,
    sees_a_copy,
    sees_an_older_attempt,
)
from tests.participant.shop import Order

PAGE = Path(__file__).parents[2] / "docs" / "participants.md"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
HORIZON = 100.0
R = msgspec.Raw
TRIED = Tried(
    do="payments.charge",
    undo="payments.refund",
    check="payments.charged",
    payload=R(b'{"total":30}'),
    refused=R(b'{"total":300}'),
    slow=R(b'{"total":31}'),
    horizon=HORIZON,
)


def payments() -> Service:
    """Return a service whose every effect has a number."""
    service, numbers = Service("payments"), count(1)

    @service.endpoint("charge")
    async def charge(order: Order, ctx: CommandContext) -> str:
        await trio.lowlevel.checkpoint()
        number = next(numbers)
        if order.total > 100:
            raise Reject("limit_exceeded", number=number)
        return f"r{number}"

    @charge.undo("refund")
    async def refund(order: Order, number: str, ctx: CommandContext) -> None: ...

    @charge.check("charged")
    async def charged(order: Order, ctx: CommandContext) -> None: ...

    return service


class NotingWire:
    """A wire to nowhere: it notes replies and dead letters in the exchanges that they belong to."""

    connected, reconnects, max_payload = True, 0, 1_048_576

    def __init__(self) -> None:
        self.open: dict[str | bytes, Exchange] = {}

    def event(self) -> trio.Event:
        return trio.Event()

    def now(self) -> float:
        return 0.0

    async def request(self, subject: str, payload: bytes = b"", *, headers: bytes = b"") -> bytes:
        if subject.startswith("$JS.API.STREAM.INFO."):
            return msgspec.json.encode({"ts": NOW})
        await trio.lowlevel.checkpoint()
        if subject == "sagadead.command.payments":
            self.open[payload].letters += 1
        else:
            exchange = self.open[subject]
            exchange.replies.append(HeardReply.of(payload, dict(header_fields(headers))["Nats-Msg-Id"]))
            exchange.stored = True
        return b'{"seq":1}'


PULLED = "$JS.ACK.SAGA_COMMANDS.payments_charge.1.7.1.1764500000000000000.0"
"""The subject for the acknowledgement of a command, which says where it is stored."""


class Participant:
    """A participant that is reached by calls."""

    def __init__(self, keys: Keys | None = None, heard: Heard | None = None) -> None:
        service = payments()
        self.served = endpoints_of(service)
        keys = MemoryKeys(horizon=HORIZON) if keys is None else keys
        self.wire = NotingWire()
        self.serving = Serving(cast("Any", self.wire), Names(), service, keys, max_concurrent=1)
        self.heard = heard
        self.slept = 0.0

    async def exchange(self, exchange: Exchange, endpoint: str) -> None:
        self.wire.open[exchange.command.reply_to] = self.wire.open[exchange.payload] = exchange
        message = WireMessage(f"sagacmd.{endpoint}", PULLED, b"", exchange.payload)
        exchange.is_settled = await self.serving._handle(self.served[endpoint.partition(".")[2]], message)
        exchange.answered_first = bool(exchange.replies or exchange.letters)
        exchange.signs = int(exchange.sent.payload == "slow")
        exchange.beats, exchange.ended = ([1.0], 2.0) if exchange.sent.heartbeat else ([], 0.0)
        if self.heard is not None:
            self.heard(exchange)

    async def consumer(self, endpoint: str) -> Mapping[str, Any] | None:
        return {"ack_policy": "explicit", "max_deliver": -1, "filter_subject": f"sagacmd.{endpoint}"}

    async def now(self) -> float:
        return NOW.timestamp() + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call)


async def verdicts(participant: Participant, tried: Tried = TRIED) -> Sequence[ClauseLine]:
    return await Trial(participant, Names(), tried, "Conformance_x", "x", within=60).run()


def by_verdict(lines: Sequence[ClauseLine]) -> dict[str, set[str]]:
    return {verdict: {one.clause for one in lines if one.verdict == verdict} for verdict in {o.verdict for o in lines}}


ALL = {clause.id for clause in (*CLAUSES, *OVERALL)}


async def test_our_participant_keeps_every_clause() -> None:
    assert by_verdict(await verdicts(Participant())) == {"kept": ALL}


async def test_keys_in_a_database_keep_every_clause(tmp_path: Path) -> None:
    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(tmp_path / "keys.db", timeout=0, isolation_level=None)
        with closing(database):
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")

    with closing(sqlite3.connect(tmp_path / "keys.db")) as database:
        database.executescript(keys_table_sql("sqlite"))
    assert by_verdict(await verdicts(Participant(SqlKeys(begin, horizon=HORIZON)))) == {"kept": ALL}


ANSWERED = [HeardReply.of(b'{"kind":"reply","key":"k","run":"r","attempt":1,"answer":"done"}', "")]
KEYS: dict[str, Callable[[], MemoryKeys]] = {
    "same-key": NoDedup,
    "at-once": NoReservation,
    "undone": NoBurning,
    "undo-first": NoTombstone,
    "undo-at-once": NoReservation,
    "check-done": Forgetful,
    "check-first": NoTombstone,
    "check-undone": Nostalgic,
    "refused": NoDedup,
    "horizon": MemoryKeys,
}
"""Keys with a fault, by the clause that finds it."""
HEARD: dict[str, Callable[[], Heard]] = {
    "done": lambda: fails,
    "redelivered": sees_a_copy,
    "older-attempt": sees_an_older_attempt,
    "alive": lambda: only(has(deliveries=2), payload="slow"),
    "heartbeats": lambda: only(has(beats=[], ended=5.0), heartbeat=3.0),
    "more-fields": lambda: only(has(replies=[], letters=1), form="more fields"),
    "odd-payload": lambda: only(has(is_settled=False, deliveries=5), form="odd payload"),
    "unreadable": lambda: only(has(letters=0), form="no JSON"),
    "another-kind": lambda: only(has(letters=0, replies=ANSWERED), form="another kind"),
    "foreign-reply-to": lambda: only(has(letters=0, replies=ANSWERED), form="foreign reply_to"),
    "acknowledged": lambda: has(answered_first=False),
    "stored": lambda: has(stored=False),
    "addressed": lambda: replies_with(attempt=1),
    "one-answer": lambda: replies_once_more,
}
"""Faults of what is heard, by the clause that finds them."""


def test_each_clause_has_a_planted_fault() -> None:
    assert {*KEYS, *HEARD, "consumer"} == ALL


@pytest.mark.parametrize("clause", KEYS)
async def test_keys_with_a_fault_are_found(clause: str) -> None:
    found = by_verdict(await verdicts(Participant(KEYS[clause]())))
    assert clause in found["broken"]
    assert "done" in found["kept"]


@pytest.mark.parametrize("clause", HEARD)
async def test_a_fault_of_what_is_heard_is_found(clause: str) -> None:
    found = by_verdict(await verdicts(Participant(heard=HEARD[clause]())))
    assert clause in found["broken"]
    assert "consumer" in found["kept"]


@pytest.mark.parametrize(
    "settings", [None, {"ack_policy": "none"}, {"ack_policy": "explicit", "max_deliver": 5}], ids=str
)
async def test_a_consumer_that_differs_is_found(settings: Any) -> None:
    class Other(Participant):
        async def consumer(self, endpoint: str) -> Mapping[str, Any] | None:
            return settings if settings is None else {"filter_subject": f"sagacmd.{endpoint}", **settings}

    assert by_verdict(await verdicts(Other()))["broken"] == {"consumer"}


async def test_what_is_not_given_is_not_tried() -> None:
    lines = await verdicts(Participant(), Tried(do="payments.charge", payload=R(b'{"total":30}')))
    found = by_verdict(lines)
    assert found["not tried"] == {
        "undone", "undo-first", "undo-at-once", "check-done", "check-first", "check-undone", "refused", "alive",
        "heartbeats", "horizon",
    }  # fmt: skip
    assert found["kept"] == ALL - found["not tried"]
    assert next(line.why for line in lines if line.clause == "check-undone") == ["--undo is not given"]


async def test_results_that_are_equal_show_nothing() -> None:
    participant = Participant(heard=replies_with(payload="ok"))
    lines = await verdicts(participant)
    (same_key,) = [line for line in lines if line.clause == "same-key"]
    assert (same_key.verdict, "let the handler return what differs" in same_key.why[0]) == ("not shown", True)


@pytest.mark.parametrize(("clause", "unheard"), [("alive", {"signs": 0}), ("heartbeats", {"beats": []})])
async def test_a_handler_that_ends_at_once_does_not_show_that_it_is_alive(clause: str, unheard: Any) -> None:
    assert by_verdict(await verdicts(Participant(heard=has(**unheard))))["not shown"] == {clause}


async def test_after_a_command_that_nobody_takes_nothing_more_is_tried() -> None:
    participant = Participant(heard=has(is_settled=False, replies=[]))
    lines = await verdicts(participant)
    assert by_verdict(lines)["broken"] == {"done", "acknowledged"}
    assert by_verdict(lines)["not tried"] == ALL - {clause.id for clause in OVERALL} - {"done"}
    assert "not acknowledged in time" in lines[0].why[0]


async def test_a_participant_that_answers_retry_is_asked_again() -> None:
    def shy(exchange: Exchange) -> None:
        if exchange.command.attempt < LATER and exchange.sent.form == "whole":
            exchange.replies = [altered(one, answer="retry") for one in exchange.replies]

    found = by_verdict(await verdicts(Participant(heard=shy)))
    assert {"same-key", "older-attempt", "undone", "refused"} <= found["kept"]


def test_the_page_lists_every_clause() -> None:
    least = Tried(do="payments.charge", payload=R(b"1"))
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (.*)\|$", PAGE.read_text(), flags=re.MULTILINE)
    found = [(id, says, set(re.findall(r"--\w+", options))) for id, says, options in rows]
    clauses = (*CLAUSES, *OVERALL)
    assert found == [(one.id, one.says, {*map(least.lacks, one.all_commands)} - {""}) for one in clauses]
