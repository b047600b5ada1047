"""The sagas under chaos, with steps of every kind; refusals on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sagakit import Context, Done, NotDone, Reject, RetryPolicy, Saga, each, remote, signal, step, timer

from tests.chaos.depot import Asked
from tests.chaos.services import Desk

PATIENT = RetryPolicy(max_attempts=12, initial_interval=timedelta(milliseconds=100), max_interval=timedelta(seconds=1))
STUBBORN = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=100), max_interval=timedelta(seconds=1)
)
APPROVED_WITHIN = timedelta(hours=1)
"""A time that never passes within a run. A saga that misses an acknowledged message waits until the judge comes."""


class Job(msgspec.Struct, frozen=True):
    """An order: the number of parcels, and the step that its service refuses."""

    parcels: int = 2
    refuse: str = ""


class _Chaotic:
    """Base of the four sagas: each call is a request to the services' desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def call(self, step: str, job: Job, ctx: Context) -> str:
        """Make the call of an action."""
        if await self.desk.call(ctx, step, "do", refuse=job.refuse == step) in ("effect", "duplicate"):
            return step
        raise Reject("refused", step=step)

    async def undo(self, step: str, ctx: Context) -> None:
        """Make the call of a compensation."""
        await self.desk.call(ctx, step, "undo")

    async def check(self, step: str, ctx: Context) -> Done[str] | NotDone:
        """Ask the services whether the action happened."""
        return Done(step) if await self.desk.call(ctx, step, "check") == "happened" else NotDone()


class Order(_Chaotic, Saga[Job, str]):
    """A saga that reserves, charges (checked when in doubt), packs each parcel, delivers (the pivot) and notifies."""

    @step(retry=PATIENT)
    async def reserve(self, job: Job, ctx: Context) -> list[str]:
        held = await self.call("reserve", job, ctx)
        return [f"{held}-{number}" for number in range(job.parcels)]

    @reserve.compensate(retry=PATIENT)
    async def release(self, job: Job, held: list[str] | None, ctx: Context) -> None:
        await self.undo("reserve", ctx)

    @step(retry=PATIENT, after=[reserve], on_unknown="check")
    async def charge(self, job: Job, ctx: Context) -> str:
        return await self.call("charge", job, ctx)

    @charge.check
    async def charged(self, job: Job, ctx: Context) -> Done[str] | NotDone:
        return await self.check("charge", ctx)

    @charge.compensate(retry=PATIENT)
    async def refund(self, job: Job, paid: str, ctx: Context) -> None:
        await self.undo("charge", ctx)

    @each(reserve, lambda parcels: parcels, max_concurrent=2, after=[charge], retry=PATIENT)
    async def pack(self, job: Job, parcel: str, ctx: Context) -> str:
        number = parcel.rpartition("-")[2]
        return await self.call("pack/" + number, job, ctx)

    @pack.compensate(retry=PATIENT)
    async def unpack(self, job: Job, parcel: str, packed: str | None, ctx: Context) -> None:
        await self.undo("pack/" + parcel.rpartition("-")[2], ctx)

    @step(pack, pivot=True, retry=STUBBORN)
    async def deliver(self, job: Job, packed: Sequence[str], ctx: Context) -> str:
        return await self.call("deliver", job, ctx)

    @step(deliver, retry=STUBBORN)
    async def notify(self, job: Job, delivered: str, ctx: Context) -> str:
        return await self.call("notify", job, ctx)

    def output(self, input: Job, ctx: Context) -> str:
        return ctx.result(Order.deliver)


class Approval(_Chaotic, Saga[Job, str]):
    """A saga that registers, waits for a person's message from the inbox, signs (the pivot) and files."""

    @step(retry=PATIENT)
    async def register(self, job: Job, ctx: Context) -> str:
        return await self.call("register", job, ctx)

    @register.compensate(retry=PATIENT)
    async def strike_out(self, job: Job, registered: str | None, ctx: Context) -> None:
        await self.undo("register", ctx)

    approved = signal(str, timeout=APPROVED_WITHIN, after=[register])

    @step(approved, pivot=True, retry=STUBBORN)
    async def sign(self, job: Job, by: str, ctx: Context) -> str:
        return await self.call("sign", job, ctx)

    @step(sign, retry=STUBBORN)
    async def file(self, job: Job, signed: str, ctx: Context) -> str:
        return await self.call("file", job, ctx)

    def output(self, input: Job, ctx: Context) -> str:
        return ctx.result(Approval.sign)


class Transfer(_Chaotic, Saga[Job, str]):
    """A saga of hold and fee at the same time, a wait long enough to be passivated, credit, and settle (the pivot)."""

    @step(after=(), retry=PATIENT)
    async def hold(self, job: Job, ctx: Context) -> str:
        return await self.call("hold", job, ctx)

    @hold.compensate(retry=PATIENT)
    async def let_go(self, job: Job, held: str | None, ctx: Context) -> None:
        await self.undo("hold", ctx)

    @step(after=(), retry=PATIENT)
    async def fee(self, job: Job, ctx: Context) -> str:
        return await self.call("fee", job, ctx)

    @fee.compensate(retry=PATIENT)
    async def return_fee(self, job: Job, fee: str | None, ctx: Context) -> None:
        await self.undo("fee", ctx)

    rest = timer(timedelta(seconds=2.5), after=[hold, fee])

    @step(after=[rest], retry=PATIENT)
    async def credit(self, job: Job, ctx: Context) -> str:
        return await self.call("credit", job, ctx)

    @credit.compensate(retry=PATIENT)
    async def debit(self, job: Job, credit: str | None, ctx: Context) -> None:
        await self.undo("credit", ctx)

    @step(credit, pivot=True, retry=STUBBORN)
    async def settle(self, job: Job, credit: str, ctx: Context) -> str:
        return await self.call("settle", job, ctx)

    def output(self, input: Job, ctx: Context) -> str:
        return ctx.result(Transfer.settle)


ALIVE_WITHIN = timedelta(seconds=3)
FOUND_OUT_BEFORE = timedelta(seconds=20)
"""Time for a reply of a participant that has to show life within ALIVE_WITHIN: far longer than for the others."""
REPLIED_WITHIN = timedelta(seconds=4)
"""Less than the pause of a participant: a success that comes later meets a check, an undo or another attempt."""


def _ask(step: str) -> Callable[[Job, Context], Asked]:
    return lambda job, ctx: Asked(job.parcels, job.refuse == step)


class Dispatch(_Chaotic, Saga[Job, str]):
    """A saga of steps that participants do: take (checked), insure (of two parcels or more), send (the pivot).

    A step of its own, weigh, comes between them.
    """

    take = remote(
        "depot.take", str, send=_ask("take"), compensate="depot.undo-take", check="depot.check-take",
        on_unknown="check", retry=STUBBORN, undo_retry=STUBBORN, timeout=FOUND_OUT_BEFORE,
        heartbeat_timeout=ALIVE_WITHIN,
    )  # fmt: skip
    insure = remote(
        "depot.insure", str, send=_ask("insure"), compensate="depot.undo-insure", after=[take],
        when=lambda job, ctx: job.parcels > 1, retry=STUBBORN, undo_retry=STUBBORN, timeout=REPLIED_WITHIN,
    )  # fmt: skip

    @step(after=[insure], retry=PATIENT)
    async def weigh(self, job: Job, ctx: Context) -> str:
        return await self.call("weigh", job, ctx)

    @weigh.compensate(retry=PATIENT)
    async def forget(self, job: Job, weight: str | None, ctx: Context) -> None:
        await self.undo("weigh", ctx)

    send = remote(
        "depot.send", str, send=_ask("send"), pivot=True, after=[weigh], retry=STUBBORN, timeout=REPLIED_WITHIN
    )

    def output(self, input: Job, ctx: Context) -> str:
        return ctx.result(Dispatch.send)


def definitions(desk: Desk) -> list[Saga[Any, Any]]:
    """Return all four sagas, at this desk."""
    return [Order(desk), Approval(desk), Transfer(desk), Dispatch(desk)]
