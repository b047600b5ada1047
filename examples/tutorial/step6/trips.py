from collections.abc import Sequence
from dataclasses import dataclass

import sagakit
from sagakit import Context, Reject, Saga, each, step


@dataclass
class Trip:
    city: str
    travelers: list[str]


class BookTrip(Saga[Trip, str]):
    """Book a seat for each traveler, then the flight."""

    @each(lambda trip, ctx: trip.travelers, max_concurrent=2)
    async def seat(self, trip: Trip, traveler: str, ctx: Context) -> str:
        return f"a seat for {traveler}"

    @seat.compensate
    async def free_seat(self, trip: Trip, traveler: str, seat: str | None, ctx: Context) -> None:
        print(f"{seat} is free again")

    @step(seat, pivot=True)
    async def flight(self, trip: Trip, seats: Sequence[str], ctx: Context) -> str:
        if trip.city == "Oslo":
            raise Reject("sold_out")
        return f"{trip.city}: {', '.join(seats)}"

    def output(self, input: Trip, ctx: Context) -> str:
        return ctx.result(BookTrip.flight)


def main(url: str = "embedded:") -> None:
    print(sagakit.run(BookTrip(), None, Trip("Rome", ["Ann", "Bob", "Cy"]), url=url))
    print(sagakit.run(BookTrip(), None, Trip("Oslo", ["Dee"]), url=url))


if __name__ == "__main__":
    main()
