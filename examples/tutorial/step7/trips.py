import trio
from sagakit import Context, Saga, step


class BookTrip(Saga[str, str]):
    """Book a hotel, then a flight. The airline is slow at first."""

    @step
    async def hotel(self, city: str, ctx: Context) -> str:
        print(f"hotel: attempt {ctx.attempt}", flush=True)
        return f"room 7 in {city}"

    @hotel.compensate
    async def cancel_hotel(self, city: str, room: str | None, ctx: Context) -> None:
        print(f"{room} is free again", flush=True)

    @step(hotel, pivot=True)
    async def flight(self, city: str, room: str, ctx: Context) -> str:
        print(f"flight: attempt {ctx.attempt}", flush=True)
        if ctx.attempt == 1:
            await trio.sleep(60)
        return f"{room}, and a flight"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(BookTrip.flight)


sagas = [BookTrip()]
