from datetime import timedelta

import sagakit
import trio
from sagakit import Context, Saga, signal, step, timer


class BookTrip(Saga[str, str]):
    """Hold a room until the boss agrees, wait a moment, then book it."""

    @step
    async def hold(self, city: str, ctx: Context) -> str:
        return f"room 7 in {city}"

    @hold.compensate
    async def let_go(self, city: str, room: str | None, ctx: Context) -> None:
        print(f"{room} is free again")

    agreed = signal(str, after=[hold], timeout=timedelta(seconds=3))
    pause = timer(timedelta(seconds=1), after=[agreed])

    @step(agreed, after=[pause], pivot=True)
    async def book(self, city: str, boss: str, ctx: Context) -> str:
        return f"{ctx.result(BookTrip.hold)}, as {boss} agreed"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(BookTrip.book)


async def work(url: str) -> None:
    async with sagakit.open_runtime(url, sagas=[BookTrip()]) as runtime:
        rome = await runtime.start(BookTrip, None, "Rome")
        oslo = await runtime.start(BookTrip, None, "Oslo")
        await runtime.signal(BookTrip, rome.id, BookTrip.agreed, "Ann")
        print(await rome.outcome())
        print(await oslo.outcome())


def main(url: str = "embedded:") -> None:
    trio.run(work, url)


if __name__ == "__main__":
    main()
