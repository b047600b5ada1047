"""Single publishes to a stream, also of dead letters."""

from __future__ import annotations

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.dead_letter import dead_letter
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import Message, header_block


async def publish_dead(link: Link, subject: str, payload: bytes, headers: dict[str, str]) -> None:
    """Write a dead letter; its payload is cut to what fits. Raises StoreError."""
    await _publish(link, dead_letter(link.max_payload, subject, payload, headers))


async def publish(link: Link, subject: str, payload: bytes, headers: dict[str, str]) -> None:
    """Write a message to the stream of its subject; it is durable on return. Raises StoreError."""
    await _publish(link, Message(subject, header_block(headers), payload))


async def _publish(link: Link, message: Message) -> None:
    answer = await link.request(message.subject, message.payload, headers=message.headers)
    result = decode_ack(answer, key=message.subject, expected=None)
    if isinstance(result, StoreError):
        raise result
