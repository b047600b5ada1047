"""The checks of a server when it is opened: whether it can be used, and which layout its buckets have. Without trio."""

from __future__ import annotations

import msgspec

from sagakit.errors import (
    UNREADABLE,
    BadBucket,
    BadLayout,
    JetStreamOff,
    LayoutMissing,
    NoResponders,
    PayloadTooSmall,
    ServerTooOld,
    StreamMissing,
)
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.wire_reading import WireReading
from sagakit.store.names import Names
from sagakit.store.permissions import needed_streams
from sagakit.store.ports import Wire

SCHEMA = 3
NO_JETSTREAM = frozenset({10039, 10076})
API_LEVEL = 1
"""nats-server 2.11."""
BATCHES = "allow_atomic"
"""The setting of a stream that takes atomic batches."""
BATCHES_LEVEL = 2
"""nats-server 2.12, the first one with atomic batches."""
LEAST_PAYLOAD = 64 * 1024
"""Bytes that one message must be able to have: a quarter of them holds what a saga is started with, and its events."""


class _Api(msgspec.Struct):
    level: int = 0


class _AccountAnswer(msgspec.Struct):
    api: _Api | None = None
    error: ApiError | None = None


class Layout(msgspec.Struct, frozen=True):
    """The value of the key `layout` in `SAGA_META`."""

    schema: int
    shards: int


async def check_server(wire: Wire, version: str) -> int:
    """Return the API level of a server that can be used. `version` is what it says of itself.

    Raises JetStreamOff, PayloadTooSmall, ServerTooOld, Unavailable, Ambiguous.
    """
    try:
        account = msgspec.json.decode(await wire.request("$JS.API.INFO"), type=_AccountAnswer)
    except NoResponders:
        raise JetStreamOff(
            "the server has JetStream disabled: start it with `-js`, or with `jetstream {}` in its configuration"
        ) from None
    if account.error is not None:
        if account.error.err_code in NO_JETSTREAM:
            raise JetStreamOff(f"JetStream is not enabled for this account: {account.error.description}")
        raise to_error(account.error, key="account", expected=None)
    if account.api is None or account.api.level < API_LEVEL:
        raise ServerTooOld(f"the server is nats-server {version}; sagakit needs 2.11 or newer: upgrade it")
    if wire.max_payload < LEAST_PAYLOAD:
        raise PayloadTooSmall(wire.max_payload, LEAST_PAYLOAD)
    return account.api.level


def layout_of(names: Names, value: bytes) -> Layout:
    """Return the layout. Raises BadLayout, BadBucket.

    Buckets with another number of shards must not be opened on a guess.
    """
    try:
        found = msgspec.json.decode(value, type=Layout)
    except UNREADABLE as error:
        right = msgspec.json.encode(Layout(SCHEMA, names.shards)).decode()
        raise BadLayout(
            f"the key `layout` of bucket {names.meta} does not hold a layout ({error}), it begins with {value[:80]!r}: "
            f"somebody has overwritten it. Put it back, with the number of shards that the buckets have: "
            f"nats kv put {names.meta} layout '{right}'"
        ) from None
    if found.schema > SCHEMA:
        raise BadBucket(f"{names.meta} was made by a newer sagakit (schema {found.schema}): upgrade this one")
    if found.schema < SCHEMA:
        raise BadBucket(
            f"{names.meta} was made by an older sagakit (schema {found.schema}, this one has {SCHEMA}): use another "
            "namespace, and let the old workers finish what they have"
        )
    return found


async def names_as_made(wire: Wire, names: Names) -> Names:
    """Return the names with the number of shards that the layout has; the same names if there is no layout yet.

    Raises BadLayout, BadBucket, StoreError.
    """
    try:
        return await names_there(wire, names.namespace)
    except LayoutMissing:
        return names


async def names_there(wire: Wire, namespace: str) -> Names:
    """Return the names of the buckets and streams of a namespace, with the number of shards that they were made with.

    Raises LayoutMissing, BadLayout, BadBucket, StoreError.
    """
    names = Names(namespace=namespace)
    try:
        entry = await WireReading(wire, names).meta.get("layout")
    except StreamMissing:
        entry = None
    if entry is None:
        raise LayoutMissing(needed_streams(names), looked_for=namespace)
    found = layout_of(names, entry.value)
    return Names(namespace=namespace, shards=found.shards)
