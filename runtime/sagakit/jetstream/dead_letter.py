"""Dead letters as they are published: the message as it came, with what it was and why it was given up in headers."""

from __future__ import annotations

import msgspec

from sagakit.jetstream.wire import Message, header_block, header_fields
from sagakit.store.ports import HEADERS_LIMIT

NAME_LIMIT = 4 * 1_024
"""Bytes that the id and the subject of a message have at most, so that its sender can find its dead letter by them."""
MESSAGE_ID = "Nats-Msg-Id"
KEPT_ID = "Sagakit-Id"
KEPT_SUBJECT = "Sagakit-Subject"


def dead_letter(max_payload: int, subject: str, payload: bytes, headers: dict[str, str]) -> Message:
    """Return a dead letter; its payload is cut to what fits into a message of `max_payload` bytes."""
    kept, fields = cut_to_fit(max_payload, payload, headers)
    return Message(subject, header_block(fields), kept)


def cut_to_fit(max_payload: int, payload: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Return what fits of a payload into a dead letter, and its headers, which tell that it was cut."""
    room, size = max_payload - HEADERS_LIMIT, len(payload)
    cut = {"Sagakit-Cut": f"{size} bytes"} if size > room else {}
    return payload[: max(0, room)], headers | cut


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


def _line(text: str) -> str:
    """Return text that may be a header's value, shortened."""
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")[:400]


def _whole(name: str) -> str:
    """Return a name that may be a header's value, as it is. A longer one than any that can be applied is cut."""
    return name.replace("\r", " ").replace("\n", " ").encode(errors="replace")[:NAME_LIMIT].decode(errors="ignore")


def _told(headers: bytes) -> str:
    """Return a block of headers as one line of JSON."""
    return msgspec.json.encode(dict(header_fields(headers))).decode()
