import sagakit
from sagakit import Context, Saga, step


class BookTrip(Saga[str, str]):
    """Book a hotel."""

    @step(compensate=None)
    async def hotel(self, city: str, ctx: Context) -> str:
        return f"room 7 in {city}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(BookTrip.hotel)


def main(url: str = "embedded:") -> None:
    print(sagakit.run(BookTrip(), None, "Rome", url=url))


if __name__ == "__main__":
    main()
