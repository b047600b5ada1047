import sagakit
import trio
from trips import BookTrip


async def book(url: str) -> None:
    async with sagakit.open_client(url) as client:
        trip = await client.start(BookTrip, "rome", "Rome")
        print("started", trip.id, flush=True)
        print(await trip.outcome())


def main(url: str = "nats://127.0.0.1:4222") -> None:
    trio.run(book, url)


if __name__ == "__main__":
    main()
