"""The patient: the server, streams, fleet and sagas that the checks look at. Each answer is asked for once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from sagakit.client.letters import Letters
from sagakit.cluster.lease_value import Lease, lease_of
from sagakit.doctor.live_sagas import LiveSagas, record_of
from sagakit.doctor.monitoring_port import Monitored
from sagakit.errors import NoResponders, Undecodable
from sagakit.jetstream.answers import NO_STREAM, ApiError, to_error
from sagakit.jetstream.scan import window
from sagakit.jetstream.wire_reading import WireReading
from sagakit.store.names import Names
from sagakit.store.permissions import Role, streams_of
from sagakit.store.ports import Wire
from sagakit.system.config import Config

ANSWERS_WITHIN = 2.0
"""Seconds that one question about a stream may take: without a leader nobody answers it."""


class AccountLimits(msgspec.Struct):
    """The limits of an account, or of one tier of it; -1 is no limit."""

    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1


class Usage(msgspec.Struct):
    """The usage of an account, or of one tier of it."""

    storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: AccountLimits = msgspec.field(default_factory=AccountLimits)


class ApiState(msgspec.Struct):
    """The JetStream API of the server."""

    level: int = 0


class JetStreamAccount(Usage):
    """The server's answer about the account."""

    tiers: dict[str, Usage] = {}
    api: ApiState | None = None
    error: ApiError | None = None


class Replica(msgspec.Struct):
    """A copy of a stream that is not the leader's."""

    name: str
    current: bool = False
    offline: bool = False


class Group(msgspec.Struct):
    """The servers that keep a stream."""

    name: str = ""
    leader: str = ""
    replicas: list[Replica] = []


class StreamContent(msgspec.Struct):
    """The content of a stream."""

    messages: int = 0
    bytes: int = 0
    first_ts: datetime | None = None


class StreamInfo(msgspec.Struct):
    """The server's answer about a stream."""

    config: dict[str, Any] = {}
    state: StreamContent = msgspec.field(default_factory=StreamContent)
    cluster: Group = msgspec.field(default_factory=Group)
    ts: datetime | None = None
    error: ApiError | None = None


class SeenLease(NamedTuple):
    """A lease, and the seconds since it was renewed by the server's clock."""

    lease: Lease
    age: float


class Patient:
    """The things that the checks look at. `version` is the server's release. All methods raise StoreError."""

    def __init__(
        self,
        wire: Wire,
        names: Names,
        config: Config,
        *,
        version: str,
        role: Role | None = None,
        monitored: Monitored | str | None = None,
    ) -> None:
        self.wire = wire
        self.names = names
        self.config = config
        self.version = version
        self.role: Role | None = role
        """The role whose permissions are checked; None for none."""
        self.monitored: Monitored | str | None = monitored
        """The answer of the monitoring port, or why there is none; None if nobody asked for it."""
        self.reading: WireReading = WireReading(wire, names)
        self._account: JetStreamAccount | None = None
        self._streams: dict[str, StreamInfo | None] = {}
        self._sagas: LiveSagas | None = None
        self._leases: list[SeenLease] | None = None

    async def account(self) -> JetStreamAccount:
        """Return the account's usage and limits; its `error` is set if JetStream is off for it."""
        if self._account is None:
            self._account = msgspec.json.decode(await self.wire.request("$JS.API.INFO"), type=JetStreamAccount)
        return self._account

    async def has_jetstream(self) -> bool:
        """Return False if JetStream is off for this account."""
        try:
            return (await self.account()).error is None
        except NoResponders:
            return False

    async def api_level(self) -> int:
        """Return the API level of the server; 0 if it does not say one."""
        api = (await self.account()).api
        return 0 if api is None else api.level

    async def stream(self, name: str) -> StreamInfo | None:
        """Return a stream's settings and content; None if it is missing."""
        if name not in self._streams:
            answer = await self.wire.request(f"$JS.API.STREAM.INFO.{name}", timeout=ANSWERS_WITHIN)
            info = msgspec.json.decode(answer, type=StreamInfo)
            if info.error is not None and info.error.err_code != NO_STREAM:
                raise to_error(info.error, key=name, expected=None, stream=name)
            self._streams[name] = None if info.error is not None else info
        return self._streams[name]

    async def dead_letters(self) -> tuple[Mapping[str, int], float]:
        """Return how many dead letters there are, by source, and the time of the last one, in seconds since the epoch.

        What was done with letters is in the same stream, and is not counted.
        """
        found = await window(self.wire, self.names.dead, self.names.dead_subjects, upto=None, want=1)
        numbers = await Letters(self.wire, self.names).counts()
        return numbers, max((one.at for one in found.found), default=0.0)

    async def streams(self) -> dict[str, StreamInfo]:
        """Return the streams that are there, by name."""
        found = {name: await self.stream(name) for name in streams_of(self.names)}
        return {name: info for name, info in found.items() if info is not None}

    async def now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        return await self.reading.now()

    async def live_sagas(self) -> LiveSagas:
        """Return what one pass over the live records has found."""
        if self._sagas is None:
            found = LiveSagas()
            for stream in self.reading.state:
                async for page in stream.values(()):
                    for value in page:
                        found.add(value)
            self._sagas = found
        return self._sagas

    async def leases(self) -> Sequence[SeenLease]:
        """Return the leases of all workers. They are read after the sagas: a worker has a lease before it has sagas."""
        if self._leases is None:
            await self.live_sagas()
            found = [value async for page in self.reading.workers.values(()) for value in page]
            now = await self.now()
            latest = {value.key: value for value in found}
            self._leases = [
                SeenLease(lease, max(0.0, now - value.at))
                for value in latest.values()
                if (lease := lease_of(value.key, value.value)) is not None
            ]
        return self._leases

    async def owner_of(self, key: str) -> str | None:
        """Return the worker that the record under a key names now; None if it is gone or cannot be read."""
        value = await self.reading.state[self.names.shard_of(key)].get(key)
        try:
            record = None if value is None else record_of(value)
        except Undecodable:
            return None
        return None if record is None else record.owner
