"""The disk under an embedded server: whether its folder takes writes, and whether the server can still write there.

From version 2.14 on a nats-server stops writing to a stream for good once a write of it has failed, as on a full disk:
it answers nothing more, and only a restart helps. Its health check names such streams.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import trio

ROOM = 2**20
"""Bytes that must be free: a server that is started with less would soon stop again."""
HEALTH_TIMEOUT = 2.0
"""Seconds that the health check may take; a server that is too busy to answer it is not sick for that."""


class _HealthzError(msgspec.Struct):
    type: str = ""
    error: str = ""


class _HealthzAnswer(msgspec.Struct):
    errors: list[_HealthzError] = []


async def why_not_writable(folder: Path) -> str | None:
    """Write ROOM bytes into `folder`, remove them, and return why that failed; None if it did not."""
    try:
        await trio.to_thread.run_sync(_try_out, folder / "room")
    except OSError as error:
        return error.strerror or str(error)
    return None


def _try_out(path: Path) -> None:
    try:
        with path.open("wb") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


async def why_it_stopped_writing(monitoring: int) -> str | None:
    """Ask the server at this port of the loopback; None if it writes, or does not answer."""
    with trio.move_on_after(HEALTH_TIMEOUT):
        try:
            health = msgspec.json.decode(await _get(monitoring, "/healthz?details=true"), type=_HealthzAnswer)
        except (OSError, trio.BrokenResourceError, msgspec.DecodeError):
            return None
        return next((found.error for found in health.errors if _is_final(found)), None)
    return None


def _is_final(found: _HealthzError) -> bool:
    """Return True for an error that does not pass: a server that may not write turns JetStream off altogether."""
    return "write error" in found.error or (found.type == "JETSTREAM" and "not enabled" in found.error)


async def _get(port: int, path: str) -> bytes:
    """Return the body of a page. The server closes the connection after it."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = b"".join([piece async for piece in stream])
    return answer.partition(b"\r\n\r\n")[2]
