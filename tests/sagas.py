"""Sagas that several tests use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
from sagakit import Context, Reject, RetryPolicy, Saga, step

QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)


class Trip(msgspec.Struct, frozen=True):
    """A trip to book, and the step that refuses (`refuse`) or raises (`fail`)."""

    city: str = "Rome"
    refuse: str = ""
    fail: str = ""


class Booked(msgspec.Struct, frozen=True):
    ref: str


Hook = Callable[[str, Context], Awaitable[None]]


async def nothing(name: str, ctx: Context) -> None:
    """Do nothing: the default hook."""


class BookTrip(Saga[Trip, str]):
    """Hotel, flight, then the pivot: tickets. The saga notes calls in order, with their keys; a hook may interfere."""

    def __init__(self, hook: Hook = nothing) -> None:
        self.hook = hook
        self.calls: list[tuple[str, str]] = []

    async def _call(self, name: str, trip: Trip, ctx: Context) -> Booked:
        self.calls.append((name, ctx.key))
        await self.hook(name, ctx)
        if trip.refuse == name:
            raise Reject("refused", step=name)
        if trip.fail == name:
            raise RuntimeError(f"{name} broke")
        return Booked(f"{name}-{trip.city}")

    @step(retry=QUICK)
    async def hotel(self, trip: Trip, ctx: Context) -> Booked:
        return await self._call("hotel", trip, ctx)

    @hotel.compensate(retry=QUICK)
    async def cancel_hotel(self, trip: Trip, booked: Booked | None, ctx: Context) -> None:
        await self._call("cancel_hotel", trip, ctx)

    @step(hotel, retry=QUICK)
    async def flight(self, trip: Trip, hotel: Booked, ctx: Context) -> Booked:
        return await self._call("flight", trip, ctx)

    @flight.compensate(retry=QUICK)
    async def cancel_flight(self, trip: Trip, booked: Booked | None, ctx: Context) -> None:
        await self._call("cancel_flight", trip, ctx)

    @step(flight, retry=QUICK, pivot=True)
    async def tickets(self, trip: Trip, flight: Booked, ctx: Context) -> Booked:
        return await self._call("tickets", trip, ctx)

    def output(self, input: Trip, ctx: Context) -> str:
        return ctx.result(BookTrip.tickets).ref

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]
