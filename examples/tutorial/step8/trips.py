from sagakit import Context, Saga, remote, step


class BookTrip(Saga[str, str]):
    """Book a hotel here, and a flight in another service."""

    @step
    async def hotel(self, city: str, ctx: Context) -> str:
        return f"room 7 in {city}"

    @hotel.compensate
    async def cancel_hotel(self, city: str, room: str | None, ctx: Context) -> None:
        print(f"{room} is free again", flush=True)

    flight = remote("flights.book", str, send=lambda city, ctx: city, compensate="flights.cancel", after=[hotel])

    def output(self, input: str, ctx: Context) -> str:
        return f"{ctx.result(BookTrip.hotel)}, and {ctx.result(BookTrip.flight)}"


sagas = [BookTrip()]
