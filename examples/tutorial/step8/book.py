import sagakit
import trio
from trips import BookTrip


async def book(url: str) -> None:
    async with sagakit.open_client(url) as client:
        for city in ("Rome", "Oslo"):
            trip = await client.start(BookTrip, city.lower(), city)
            print(await trip.outcome())


def main(url: str = "nats://127.0.0.1:4222") -> None:
    trio.run(book, url)


if __name__ == "__main__":
    main()
