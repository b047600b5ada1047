"""Judging: what was heard of the commands becomes verdicts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import msgspec

from sagakit.client.json_shapes import ClauseLine
from sagakit.messages.step_command import reply_id
from sagakit.participant.conformance.clauses import (
    ACKNOWLEDGED,
    ADDRESSED,
    ALIVE,
    CONSUMER,
    HEARTBEAT,
    HEARTBEATS,
    ONE_ANSWER,
    STORED,
    Clause,
)
from sagakit.participant.conformance.exchange import Exchange

ON_THE_WAY = 1.0
"""Seconds that a command and a heartbeat may take on their way."""
ClauseVerdict: TypeAlias = Literal["kept", "broken", "not shown", "not tried"]
"""Not shown: nothing wrong was heard, but the clause is not proved either. Not tried: an option is missing."""


def judged(clause: Clause, exchanges: Sequence[Exchange]) -> ClauseLine:
    """Return the verdict on a clause by what was heard of its own commands."""
    faults = [_unsettled(one) for one in exchanges if not one.is_settled] or [
        fault for one in exchanges for fault in _faults(one, exchanges)
    ]
    if faults:
        return _result(clause, "broken", faults)
    doubts = _DOUBTS.get(clause.id, _doubts)(exchanges)
    return _result(clause, "not shown" if doubts else "kept", doubts)


def not_tried(clause: Clause, why: str) -> ClauseLine:
    """Return the verdict on a clause whose commands were not sent."""
    return _result(clause, "not tried", [why])


def overall(exchanges: Sequence[Exchange], consumers: Mapping[str, Mapping[str, Any] | None]) -> Sequence[ClauseLine]:
    """Return the verdicts on the clauses about every command. `consumers` has the settings of each by its subject."""
    found = {
        CONSUMER: [fault for subject, settings in consumers.items() for fault in _consumer_faults(subject, settings)],
        ACKNOWLEDGED: [fault for one in exchanges for fault in _acknowledged_faults(one)],
        STORED: [f"{one}: its reply is not in the inbox" for one in exchanges if one.replies and not one.stored],
        ADDRESSED: [fault for one in exchanges for fault in _address_faults(one)],
        ONE_ANSWER: [f"{one}: it has replies that differ" for one in exchanges if len(_different(one)) > 1],
    }
    return [_result(clause, "broken" if faults else "kept", faults) for clause, faults in found.items()]


def _result(clause: Clause, verdict: ClauseVerdict, why: Sequence[str]) -> ClauseLine:
    return ClauseLine(clause=clause.id, says=clause.says, verdict=verdict, why=why)


def _faults(exchange: Exchange, others: Sequence[Exchange]) -> Sequence[str]:
    """Return the faults of one command of a clause, in words."""
    sent = exchange.sent
    if sent.dead:
        return _dead_faults(exchange)
    if sent.given is not None and others[sent.given[0]].answer != sent.given[1]:
        return []
    if exchange.answer not in sent.answers:
        return [f"{exchange}: {_told(exchange)}, where {' or '.join(sent.answers)} is due"]
    if exchange.deliveries > 1:
        return [f"{exchange}: it was delivered {exchange.deliveries} times"]
    other = None if sent.like is None else others[sent.like]
    if other is not None and exchange.answer == other.answer and exchange.result != other.result:
        return [f"{exchange}: {_told(exchange)}, where {_told(other)} was kept"]
    return _silence(exchange)


def _unsettled(exchange: Exchange) -> str:
    return f"{exchange}: it was delivered {exchange.deliveries} times, and not acknowledged in time"


def _dead_faults(exchange: Exchange) -> Sequence[str]:
    if exchange.replies:
        return [f"{exchange}: {_told(exchange)}, where a dead letter is due"]
    return [] if exchange.letters else [f"{exchange}: it was acknowledged, and has neither a reply nor a dead letter"]


def _doubts(exchanges: Sequence[Exchange]) -> Sequence[str]:
    """Return why results do not tell whether work was done once."""
    return [
        f"the results under two keys are equal, {_told(one)}: let the handler return what differs for each effect, "
        "such as a number"
        for one in exchanges
        if one.sent.unlike is not None and one.result == exchanges[one.sent.unlike].result
    ]


def _alive_doubts(exchanges: Sequence[Exchange]) -> Sequence[str]:
    if exchanges[0].signs:
        return []
    return ["the handler ended before a sign was due: give --slow a payload that takes longer"]


def _heartbeat_doubts(exchanges: Sequence[Exchange]) -> Sequence[str]:
    if exchanges[0].beats:
        return []
    return [f"the handler ended before a heartbeat was due: give --slow a payload that takes {HEARTBEAT:g} s or longer"]


_DOUBTS: Mapping[str, Callable[[Sequence[Exchange]], Sequence[str]]] = {
    ALIVE.id: _alive_doubts,
    HEARTBEATS.id: _heartbeat_doubts,
}
"""Functions that return why nothing is proved, for the clauses that have one of their own."""


def _silence(exchange: Exchange) -> Sequence[str]:
    """Return the words for a handler that was silent for longer than its command allows, if it was."""
    moments = [exchange.began, *exchange.beats, exchange.ended]
    longest = max(later - sooner for sooner, later in pairwise(moments))
    if exchange.sent.heartbeat is None or longest <= exchange.sent.heartbeat + ON_THE_WAY:
        return []
    due = f"one is due every {exchange.sent.heartbeat:g} s"
    return [f"{exchange}: {len(exchange.beats)} heartbeats came, none for {longest:.1f} s, where {due}"]


def _acknowledged_faults(exchange: Exchange) -> Sequence[str]:
    if not exchange.is_settled:
        return [_unsettled(exchange)]
    return [] if exchange.answered_first else [f"{exchange}: it was acknowledged before a reply or a dead letter came"]


def _address_faults(exchange: Exchange) -> Sequence[str]:
    command = exchange.command
    due = (command.key, command.run, command.attempt)
    faults = list[str]()
    for one in exchange.replies:
        reply = one.reply
        if reply is None:
            faults.append(f"{exchange}: its reply cannot be read: {one.payload[:100]!r}")
            continue
        if (named := (reply.key, reply.run, reply.attempt)) != due:
            faults.append(f"{exchange}: the reply names {named}, where {due} is due")
        id = reply_id(exchange.saga, command, reply.answer)
        if one.message_id != id:
            faults.append(f"{exchange}: the reply has Nats-Msg-Id {one.message_id!r}, where {id!r} is due")
    return faults


def _different(exchange: Exchange) -> set[bytes]:
    """Return the replies as JSON in one form, each once."""
    return {one.payload if one.reply is None else msgspec.json.encode(one.reply) for one in exchange.replies}


def _consumer_faults(subject: str, settings: Mapping[str, Any] | None) -> Sequence[str]:
    if settings is None:
        return [f"{subject}: its consumer is not there"]
    due = {"ack_policy": "explicit", "max_deliver": -1, "filter_subject": subject}
    return [
        f"{subject}: its consumer has {name} {settings.get(name)!r}, where {value!r} is due"
        for name, value in due.items()
        if settings.get(name, -1 if name == "max_deliver" else "") != value
    ]


def _told(exchange: Exchange) -> str:
    reply = exchange.reply
    if reply is None:
        return "it was not answered"
    more = " ".join(filter(None, [bytes(reply.payload)[:100].decode(errors="replace"), reply.code, reply.reason]))
    return f"answered {reply.answer} {more}".strip()
