"""The commands: a work-queue stream from which participants take what sagas ask of them."""

from __future__ import annotations

from sagakit.errors import LayoutMissing
from sagakit.jetstream.layout import NOT_FOUND
from sagakit.jetstream.link import Link
from sagakit.jetstream.one_stream import ask_stream
from sagakit.jetstream.publishing import publish
from sagakit.store.names import Names


class StreamCommands:
    """The port `CommandQueue`, over a stream."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    async def check(self) -> None:
        """Check that the stream exists."""
        await check_stream(self._link, self._names.commands)

    async def send(self, endpoint: str, *, id: str, payload: bytes) -> None:
        """Append a command."""
        await publish(self._link, self._names.command_subject(endpoint), payload, {"Nats-Msg-Id": id})


async def check_stream(link: Link, stream: str) -> None:
    """Check that a stream exists. Raises LayoutMissing, StoreError."""
    error = (await ask_stream(link, f"$JS.API.STREAM.INFO.{stream}")).error
    if error is not None and error.err_code == NOT_FOUND:
        raise LayoutMissing([stream])
    if error is not None:
        raise link.refused(error, stream)
