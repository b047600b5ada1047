"""The participants: one process that outlives all workers, keeps the participant contract, and logs every call.

Contract: an action is idempotent by its key. An undo, and a check that says no, make the action's key unusable. The
answer is delayed before and after the effect, by a time that the key decides. So kills and pauses meet calls on their
way, and a repeated run meets the same ones.

The log has one JSON line a call. It says who called (worker, epoch, attempt), when the call began, arrived, took effect
and was answered (this process's wall clock, ns), and its result. The result of an action is `effect`, `duplicate`,
`refused` (the key is unusable) or `rejected` (for business reasons); of an undo `effect` or `nothing` (there was
nothing to undo); of a check `happened` or `never`. A worker's wall clock is wrong, so the worker says by the monotonic
clock when it began the call: that clock is the machine's, and the same for all.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import trio
from msgspec import structs
from sagakit import Context

Kind = Literal["do", "undo", "check"]
Result = Literal["effect", "duplicate", "refused", "rejected", "nothing", "happened", "never"]
LATEST = 0.35
"""Greatest delay in seconds on either side of an effect; one answer in twenty takes ten times as long."""
SLOW = 10.0
LOOK = 0.05
"""Seconds between two looks whether calls are still held."""


class Request(msgspec.Struct, frozen=True):
    """A call, as the worker makes it. `begin` is by the monotonic clock; in the log by the services' wall clock."""

    worker: str
    saga_type: str
    saga_id: str
    run: str
    step: str
    kind: Kind
    key: str
    action_key: str
    epoch: int
    attempt: int
    begin: int
    refuse: bool = False


class Row(msgspec.Struct, frozen=True):
    """A line of the log."""

    call: Request
    arrived: int
    effect: int
    end: int
    result: Result


class Desk:
    """The worker's end of the connection. For tasks of one trio thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._worker = ""
        self._known = trio.Event()

    def opened(self, worker: str) -> None:
        """Make calls from now on in this worker's name."""
        self._worker = worker
        self._known.set()

    async def call(self, ctx: Context, step: str, kind: Kind, *, refuse: bool = False) -> str:
        """Make one call. Raises OSError, trio.BrokenResourceError when the answer does not come."""
        begin = time.monotonic_ns()  # before the first await: at that moment the runtime makes the call
        await self._known.wait()
        request = Request(
            self._worker, ctx.saga_type, ctx.saga_id, ctx.run, step, kind, ctx.key, ctx.action_key, ctx.epoch,
            ctx.attempt, begin, refuse,
        )  # fmt: skip
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with stream:
            await stream.send_all(msgspec.json.encode(request) + b"\n")
            answer = b"".join([part async for part in stream])
        if not answer:
            raise OSError("the service hung up")
        return answer.decode()


class Participants:
    """The services' memory, by key. Nothing here may fail: the log is the evidence."""

    def __init__(self, folder: Path, log: BinaryIO) -> None:
        self._folder = folder
        self._log = log
        self._keys: dict[str, str] = {}
        self.calls: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one call."""
        line = b""
        try:
            while not line.endswith(b"\n"):
                part = await stream.receive_some()
                if not part:
                    return
                line += part
        except trio.BrokenResourceError:
            return  # the worker died before it had sent its request
        # the monotonic clock first: if this process has to wait between the two, the call seems to begin too late, and
        # the judge accuses nobody for that
        began_before = time.monotonic_ns()
        arrived = time.time_ns()
        request = msgspec.json.decode(line, type=Request)
        request = structs.replace(request, begin=arrived - (began_before - request.begin))
        before, after = delays(request)
        await trio.sleep(before)
        await self._while_held(request)
        result, effect = self._answer(request), time.time_ns()
        await trio.sleep(after)
        self._log.write(msgspec.json.encode(Row(request, arrived, effect, time.time_ns(), result)) + b"\n")
        self.calls += 1
        try:
            await stream.send_all(result.encode())
        except trio.BrokenResourceError:
            return  # the worker died; the effect remains

    async def _while_held(self, request: Request) -> None:
        """Return once no file `hold-{name}` of the worker is there; note the sagas that wait in `held-{name}`."""
        name = request.worker.rpartition("-")[0]
        hold = self._folder / f"hold-{name}"
        if hold.exists():
            with (self._folder / f"held-{name}").open("a") as held:
                held.write(f"{request.saga_type}.{request.saga_id}\n")
        while hold.exists():  # noqa: ASYNC110  # another process removes it
            await trio.sleep(LOOK)

    def _answer(self, request: Request) -> Result:
        if request.kind == "do":
            return self._act(request)
        happened = self._keys.get(request.action_key) == "effect"
        if request.kind == "check":
            if not happened:
                self._keys[request.action_key] = "refused"
            return "happened" if happened else "never"
        if request.key in self._keys:
            return "duplicate"
        self._keys[request.key], self._keys[request.action_key] = "effect", "refused"
        return "effect" if happened else "nothing"

    def _act(self, request: Request) -> Result:
        known = self._keys.get(request.key)
        if known is not None:
            return "duplicate" if known == "effect" else "rejected" if known == "rejected" else "refused"
        self._keys[request.key] = result = "rejected" if request.refuse else "effect"
        return "rejected" if result == "rejected" else "effect"


def delays(request: Request) -> tuple[float, float]:
    """Return the seconds before and after the effect, which depend only on the key."""
    one, two, slow = hashlib.sha256(request.key.encode()).digest()[:3]
    factor = SLOW if slow < 256 / 20 else 1.0
    return LATEST * (one / 255) ** 2, factor * LATEST * (two / 255) ** 2


async def serve(folder: Path) -> None:
    """Serve until SIGTERM; the port is written to `services.port`."""
    with (folder / "calls.jsonl").open("wb", buffering=2**20) as log:
        participants = Participants(folder, log)
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, participants.serve, listeners)
            port: Any = listeners[0].socket.getsockname()[1]
            (folder / "services.tmp").write_text(str(port))
            (folder / "services.tmp").rename(folder / "services.port")
            nursery.start_soon(_flush, log)
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await anext(aiter(signals))
            nursery.cancel_scope.cancel()


async def _flush(log: BinaryIO) -> None:
    while True:
        await trio.sleep(0.2)  # no poll: the log is flushed five times a second
        log.flush()


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
