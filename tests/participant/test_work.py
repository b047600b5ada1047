"""The rules of a participant: work under a key is done once, and a burnt key is never worked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sagakit.definition.payloads import PLAIN_PAYLOADS, PayloadCodec, PayloadPlace, Payloads, Sealed
from sagakit.engine.keys import CallKind
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant import CommandContext, Done, MemoryKeys, NotDone, Reject, Retry, Service, ServiceEndpoint
from sagakit.participant.key_store import Busy
from sagakit.participant.replies import CommandReply
from sagakit.participant.work import reply_to

NOW = 1_000.0
SAGA = SagaKey("Buy", "7")


@dataclass
class Charge:
    total: int


@dataclass
class Receipt:
    number: str


class Desk:
    """A participant that notes what it does, and does what the test says."""

    def __init__(self, payloads: Payloads = PLAIN_PAYLOADS) -> None:
        self.payloads = payloads
        self.did: list[str] = []
        self.raises: Exception | None = None
        self.found: Done[Receipt] | NotDone | None = None
        payments = Service("payments")

        @payments.endpoint("charge")
        async def charge(order: Charge, ctx: CommandContext) -> Receipt:
            self.did.append(f"charge {order.total} under {ctx.key}")
            if self.raises is not None:
                raise self.raises
            return Receipt("r1")

        @charge.undo("refund")
        async def refund(order: Charge, receipt: Receipt, ctx: CommandContext) -> None:
            self.did.append(f"refund {receipt.number} of {order.total}")
            if self.raises is not None:
                raise self.raises

        @charge.check("charged")
        async def charged(order: Charge, ctx: CommandContext) -> Done[Receipt] | NotDone | None:
            self.did.append("look")
            return self.found

        self.endpoint: ServiceEndpoint[Charge, Receipt] = charge
        self.keys = MemoryKeys()

    async def gets(self, kind: CallKind, *, key: str = "k/do/1", **other: Any) -> CommandReply:
        command = StepCommand(
            kind=kind, key=key if kind == "do" else f"k/{kind}/1", action_key=key, key_since=other.pop("since", NOW),
            run="r", attempt=1, deadline=NOW + 30, reply_to="sagareply.payments.T.1",
            payload=msgspec.Raw(other.pop("payload", b'{"total":30}')),
        )  # fmt: skip
        return await reply_to(self.endpoint, SAGA, command, self.keys, NOW, self.payloads)


async def test_work_is_done_once_and_its_reply_is_kept() -> None:
    desk = Desk()
    first, second = await desk.gets("do"), await desk.gets("do")
    assert (first.answer, bytes(first.payload), first.key, first.run, first.attempt) == (
        "done", b'{"number":"r1"}', "k/do/1", "r", 1,
    )  # fmt: skip
    assert second == first or (second.answer, bytes(second.payload)) == ("done", b'{"number":"r1"}')
    assert desk.did == ["charge 30 under k/do/1"]


class Placing(PayloadCodec):
    """Changes nothing, and notes the saga and the part of each value that it seals."""

    name = "placing"

    def __init__(self) -> None:
        self.places: list[tuple[str, str, str]] = []

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
        self.places.append((place.saga_type, place.saga_id, place.part))
        return Sealed(data)

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        return sealed.data


async def test_values_belong_to_the_saga_that_gets_the_reply_whatever_the_key_says() -> None:
    codec = Placing()
    desk = Desk(Payloads(codec))
    assert (await desk.gets("do", key="Other/9/r/pay/do/1")).answer == "done"
    assert codec.places == [("Buy", "7", "result/pay")]


async def test_an_undo_undoes_once_and_burns_the_key() -> None:
    desk = Desk()
    await desk.gets("do")
    assert [(await desk.gets("undo")).answer for _ in range(2)] == ["done", "done"]
    assert (await desk.gets("do")).answer == "gone"
    assert desk.did == ["charge 30 under k/do/1", "refund r1 of 30"]


async def test_an_action_that_comes_after_its_undo_is_not_done() -> None:
    desk = Desk()
    assert (await desk.gets("undo")).answer == "done"
    assert (await desk.gets("do")).answer == "gone"
    assert desk.did == []


async def test_a_refusal_is_kept() -> None:
    desk = Desk()
    desk.raises = Reject("card_declined", limit=20)
    first = await desk.gets("do")
    desk.raises = None
    second = await desk.gets("do")
    assert [(one.answer, one.code, bytes(one.payload)) for one in (first, second)] == [
        ("rejected", "card_declined", b'{"limit":20}')
    ] * 2
    assert len(desk.did) == 1


async def test_a_retry_that_says_not_done_burns_the_key_first() -> None:
    desk = Desk()
    desk.raises = Retry("closed", after=timedelta(seconds=60), not_done=True)
    reply = await desk.gets("do")
    assert (reply.answer, reply.reason, reply.after) == ("not_done", "closed", 60.0)
    desk.raises = None
    assert (await desk.gets("do")).answer == "gone"
    assert (await desk.gets("do", key="k/do/2")).answer == "done"


async def test_a_retry_keeps_the_key() -> None:
    desk = Desk()
    desk.raises = Retry("busy", after=timedelta(seconds=2))
    reply = await desk.gets("do")
    assert (reply.answer, reply.reason, reply.after) == ("retry", "busy", 2.0)
    desk.raises = None
    assert (await desk.gets("do")).answer == "done"


async def test_any_other_exception_is_unknown_and_keeps_nothing() -> None:
    desk = Desk()
    desk.raises = RuntimeError("boom")
    reply = await desk.gets("do")
    assert (reply.answer, "boom" in reply.reason) == ("unknown", True)
    desk.raises = None
    assert (await desk.gets("do")).answer == "done"


async def test_an_undo_that_fails_leaves_the_key_as_it_was() -> None:
    desk = Desk()
    await desk.gets("do")
    desk.raises = RuntimeError("no refund today")
    assert (await desk.gets("undo")).answer == "unknown"
    desk.raises = None
    assert (await desk.gets("undo")).answer == "done"
    assert desk.did.count("refund r1 of 30") == 2


async def test_a_command_under_a_key_that_is_being_worked_on_is_to_come_again() -> None:
    desk = Desk()
    replies: list[CommandReply] = []

    async def meanwhile(order: Charge, ctx: CommandContext) -> Receipt:
        replies.extend([await desk.gets("do"), await desk.gets("undo"), await desk.gets("check")])
        return Receipt("r1")

    desk.endpoint.fn = meanwhile
    assert (await desk.gets("do")).answer == "done"
    assert [(one.answer, one.after) for one in replies] == [("retry", 1.0)] * 3


async def test_a_check_says_what_is_kept_and_burns_what_is_not() -> None:
    desk = Desk()
    assert (await desk.gets("check")).answer == "not_done"
    assert (await desk.gets("do")).answer == "gone"
    await desk.gets("do", key="k/do/2")
    found = await desk.gets("check", key="k/do/2")
    assert (found.answer, bytes(found.payload)) == ("done", b'{"number":"r1"}')
    assert "look" not in desk.did


@pytest.mark.parametrize(
    ("found", "answer"), [(Done(Receipt("r7")), "done"), (NotDone(), "not_done"), (None, "unknown")]
)
async def test_without_transactions_the_check_asks_the_user(found: Any, answer: str) -> None:
    desk = Desk()
    desk.keys.is_atomic, desk.found = False, found
    reply = await desk.gets("check")
    assert (reply.answer, desk.did) == (answer, ["look"])


async def test_an_old_key_is_not_worked() -> None:
    desk = Desk()
    desk.keys.horizon = 60.0
    reply = await desk.gets("do", since=NOW - 61)
    assert (reply.answer, reply.reason.partition(":")[0], desk.did) == ("unknown", "expired", [])
    assert (await desk.gets("do", since=NOW - 59)).answer == "done"


async def test_a_command_that_cannot_be_read_is_answered() -> None:
    desk = Desk()
    reply = await desk.gets("do", payload=b'{"total":"much"}')
    assert (reply.answer, "cannot be read" in reply.reason, desk.did) == ("unknown", True, [])


async def test_a_check_does_not_burn_what_is_done_meanwhile() -> None:
    desk = Desk()

    async def slips_in(key: str) -> None:
        await desk.gets("do")

    look = desk.keys.look

    async def late(key: str) -> Any:
        kept = await look(key)
        await slips_in(key)
        return kept

    desk.keys.look = late  # type: ignore[method-assign]
    assert (await desk.gets("check")).answer == "retry"
    desk.keys.look = look  # type: ignore[method-assign]
    assert (await desk.gets("check")).answer == "done"
    assert issubclass(Busy, Exception)
