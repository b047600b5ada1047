import sagakit
from sagakit import Context, Reject, Saga, step


class BookTrip(Saga[str, str]):
    """Book a hotel, then a flight."""

    @step
    async def hotel(self, city: str, ctx: Context) -> str:
        print(f"hotel: room 7 in {city}")
        return f"room 7 in {city}"

    @hotel.compensate
    async def cancel_hotel(self, city: str, room: str | None, ctx: Context) -> None:
        print(f"hotel: {room} is canceled")

    @step(hotel, pivot=True)
    async def flight(self, city: str, room: str, ctx: Context) -> str:
        if city == "Oslo":
            raise Reject("sold_out")
        return f"flight to {city}"

    def output(self, input: str, ctx: Context) -> str:
        return f"{ctx.result(BookTrip.hotel)}, {ctx.result(BookTrip.flight)}"


def main(url: str = "embedded:") -> None:
    for city in ("Rome", "Oslo"):
        print(sagakit.run(BookTrip(), None, city, url=url))


if __name__ == "__main__":
    main()
