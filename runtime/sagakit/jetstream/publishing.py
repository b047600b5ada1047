"""Single publishes to a stream, and dead letters as they are published."""

from __future__ import annotations

import msgspec

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import Message, header_block, header_fields
from sagakit.store.ports import HEADERS_LIMIT

NAME_LIMIT = 4 * 1_024
"""Bytes that the id and the subject of a message have at most, so that its sender can find its dead letter by them."""
MESSAGE_ID = "Nats-Msg-Id"
KEPT_ID = "Sagakit-Id"
KEPT_SUBJECT = "Sagakit-Subject"


async def publish_dead(link: Link, subject: str, payload: bytes, headers: dict[str, str]) -> None:
    """Write a dead letter; its payload is cut to what fits. Raises StoreError."""
    await _publish(link, dead_letter(link, subject, payload, headers))


def dead_letter(link: Link, subject: str, payload: bytes, headers: dict[str, str]) -> Message:
    """Return a dead letter; its payload is cut to what fits."""
    room, size = link.max_payload - HEADERS_LIMIT, len(payload)
    cut = {"Sagakit-Cut": f"{size} bytes"} if size > room else {}
    return Message(subject, header_block(headers | cut), payload[: max(0, room)])


def dead_headers(
    stream: str, position: int, subject: str, id: str, headers: bytes, reason: str, code: str, by: str
) -> dict[str, str]:
    """Return the headers of the dead letter of a message, which has this place in its stream."""
    return {
        MESSAGE_ID: f"dead-{stream}-{position}",
        "Sagakit-Reason": _line(reason),
        "Sagakit-Code": code,
        "Sagakit-By": by,
        KEPT_SUBJECT: _whole(subject),
        KEPT_ID: _whole(id),
        "Sagakit-Headers": _line(_told(headers)),
    }


async def publish(link: Link, subject: str, payload: bytes, headers: dict[str, str]) -> None:
    """Write a message to the stream of its subject; it is durable on return. Raises StoreError."""
    await _publish(link, Message(subject, header_block(headers), payload))


async def _publish(link: Link, message: Message) -> None:
    answer = await link.request(message.subject, message.payload, headers=message.headers)
    result = decode_ack(answer, key=message.subject, expected=None)
    if isinstance(result, StoreError):
        raise result


def _line(text: str) -> str:
    """Return text that may be a header's value, shortened."""
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")[:400]


def _whole(name: str) -> str:
    """Return a name that may be a header's value, as it is. A longer one than any that can be applied is cut."""
    return name.replace("\r", " ").replace("\n", " ").encode(errors="replace")[:NAME_LIMIT].decode(errors="ignore")


def _told(headers: bytes) -> str:
    """Return a block of headers as one line of JSON."""
    return msgspec.json.encode(dict(header_fields(headers))).decode()
