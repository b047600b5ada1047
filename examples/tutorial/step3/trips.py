from dataclasses import dataclass
from typing import Annotated

import msgspec
import sagakit
from sagakit import Completed, Context, Failed, InvalidInput, Reject, Saga, step


@dataclass
class Trip:
    city: str
    budget: Annotated[int, msgspec.Meta(gt=0)]


@dataclass
class Ticket:
    seat: str
    price: int


class BookTrip(Saga[Trip, Ticket]):
    """Book a hotel, then a flight that the budget allows."""

    @step
    async def hotel(self, trip: Trip, ctx: Context) -> str:
        return f"room 7 in {trip.city}"

    @hotel.compensate
    async def cancel_hotel(self, trip: Trip, room: str | None, ctx: Context) -> None:
        print(f"{room} is canceled")

    @step(hotel, pivot=True)
    async def flight(self, trip: Trip, room: str, ctx: Context) -> Ticket:
        if trip.budget < 200:
            raise Reject("too_expensive", price=200)
        return Ticket("14A", 200)

    def output(self, input: Trip, ctx: Context) -> Ticket:
        return ctx.result(BookTrip.flight)


def main(url: str = "embedded:") -> None:
    for trip in (Trip("Rome", 500), Trip("Oslo", 100)):
        match sagakit.run(BookTrip(), None, trip, url=url):
            case Completed(output=ticket):
                print(f"{trip.city}: seat {ticket.seat} for {ticket.price}")
            case Failed(code=code, detail=detail):
                print(f"{trip.city}: {code}, {detail}")
    try:
        sagakit.run(BookTrip(), None, Trip("Bern", -1), url=url)
    except InvalidInput as error:
        print(f"Bern: {error}")


if __name__ == "__main__":
    main()
