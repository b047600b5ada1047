"""The bucket of the leases, which a test can fill."""

from __future__ import annotations

import pytest
import trio
from sagakit.errors import StoreFull
from sagakit.store.memory_server import MemoryBucket, MemoryServer
from sagakit.store.ports import Write

from tests.system.stopped_trips import Stop

TTL = 10.0


class Leases:
    """The bucket of the leases. While `full`, it refuses writes."""

    def __init__(self, server: MemoryServer, patch: pytest.MonkeyPatch) -> None:
        self.full = False
        bucket, write = server.bucket("SAGA_WORKERS"), MemoryBucket.write

        def maybe_full(written: MemoryBucket, wanted: Write, *, delete: bool = False) -> int:
            if self.full and written is bucket:
                raise StoreFull("no space left")
            return write(written, wanted, delete=delete)

        patch.setattr(MemoryBucket, "write", maybe_full)

    async def lapse_during(self, stop: Stop) -> None:
        """Refuse renewals for one TTL while a call is held, and then let the call continue."""
        await stop.reached.wait()
        self.full = True
        await trio.sleep(TTL + 0.1)
        stop.go_on.set()
