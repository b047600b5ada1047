"""Other JetStream domains of the account whose streams take in our messages: a hub's, or a leaf node's.

Between a hub and its leaf nodes messages flow to whoever is interested. If both have a stream for inbound messages,
each stores every message, wherever it was published, and each side's workers start the saga, with all its effects.

The question is a message that expects a stream of a name that nobody uses. Every stream that captures its subject
refuses it, and names itself; nothing is stored. If there is none, the server says at once that nobody listens.
"""

from __future__ import annotations

import msgspec
import trio

from sagakit.errors import Ambiguous, NoResponders, NotPermitted, OtherDomain
from sagakit.jetstream.link import Link
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names

FIRST_WITHIN = 2.0
"""Seconds that the first answer may take: a stream without a leader gives none."""
OTHERS_WITHIN = 0.5
"""Seconds that are waited for the answers of other domains, which may be a continent away."""
_EXPECTS = header_block({"Nats-Expected-Stream": "sagakit-asks-who-captures-this"})


class _Refusal(msgspec.Struct):
    stream: str = ""


async def check_nobody_captures(link: Link, names: Names) -> None:
    """Raise OtherDomain if a stream captures inbound messages, though ours is not made yet. Raises Unavailable."""
    try:
        answer = await link.request(names.inbox_question, b"", headers=_EXPECTS, timeout=FIRST_WITHIN)
    except (NoResponders, Ambiguous, NotPermitted):  # who may not ask may make no streams either
        return
    raise OtherDomain(names.inbox_question, [_stream(answer)])


async def check_only_ours_captures(link: Link, names: Names) -> None:
    """Raise OtherDomain if another stream than ours captures inbound messages. Raises Unavailable.

    A server without a domain, and without a cluster's name, which each leaf node has, is not waited for.
    """
    answers: list[str] = []
    first, another = trio.Event(), trio.Event()

    def take(delivery: Delivery) -> None:
        if delivery.payload:  # else it is the word that nobody listens
            answers.append(_stream(delivery.payload))
        (another if len(answers) > 1 else first).set()

    async with link.subscriptions.diverted(take) as inbox:
        link.tell(names.inbox_question, b"", headers=_EXPECTS, reply=inbox)
        with trio.move_on_after(FIRST_WITHIN):
            await first.wait()
        if link.may_have_leaf_nodes:
            with trio.move_on_after(OTHERS_WITHIN):
                await another.wait()
    if len(answers) > 1:
        raise OtherDomain(names.inbox_question, answers)


def _stream(answer: bytes) -> str:
    try:
        return msgspec.json.decode(answer, type=_Refusal).stream
    except msgspec.DecodeError:
        return ""
