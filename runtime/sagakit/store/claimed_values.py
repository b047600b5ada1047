"""Claimed values: the parts of large values in their own bucket, of which records and messages have references only.

The bucket is `SAGA_VALUES`. A value is kept in parts, under `{place}.{key}.{name}.{part}`. `saga` is the place of the
values that records name, and workers alone may write there. `start` is the place of the inputs of starts that are on
their way, for which a client needs the right to write. So a client can never change what a record names.

The first part is written last: where it is, the value is whole. To write a value again is harmless, since its name says
what it holds. Whoever reads a value compares it with the digest in its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, Protocol, TypeAlias

from sagakit.errors import ValueLost
from sagakit.store.ports import StreamReading

PART = 48 * 1024
"""Bytes of a part; the last one of a value may have fewer. Each server takes messages of this size."""
AT_ONCE = 16
"""Number of parts that are read or written at the same time."""

ValuePlace: TypeAlias = Literal["saga", "start"]
"""The two places of values: those that records name, and the inputs of starts that are on their way."""


class ValueName(Protocol):
    """The reference to a value: its name within its saga, and its size in bytes."""

    @property
    def name(self) -> str:
        """The name of the value within its saga."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the value."""
        ...

    def fits(self, value: bytes) -> bool:
        """Return True if the value is the one that the name is of."""
        ...


def keys_of(place: ValuePlace, key: str, claim: ValueName) -> Sequence[str]:
    """Return the keys of the parts of a value, in order."""
    return [f"{place}.{key}.{claim.name}.{number}" for number in range(max(1, -(-claim.size // PART)))]


async def write_value(
    put: Callable[[str, bytes], Awaitable[object]],
    together: Callable[..., Awaitable[None]],
    place: ValuePlace,
    key: str,
    claim: ValueName,
    value: bytes,
) -> None:
    """Store a value of the saga under `key`; durable once this returns. Raises what `put` raises.

    `together` runs coroutine functions at the same time, as `Wire.together` does.
    """
    parts = [
        partial(put, part, value[number * PART : (number + 1) * PART])
        for number, part in enumerate(keys_of(place, key, claim))
    ]
    for start in range(1, len(parts), AT_ONCE):
        await together(*parts[start : start + AT_ONCE])
    # last, and alone: until it is durable a reader finds no value, and never half of one
    await parts[0]()


async def read_value(values: StreamReading, place: ValuePlace, key: str, claim: ValueName) -> bytes:
    """Return a value of the saga under `key`. Raises ValueLost, and the errors of `StreamReading.get`."""
    keys, found = keys_of(place, key, claim), list[bytes]()
    for start in range(0, len(keys), AT_ONCE):
        parts = await values.get_each(keys[start : start + AT_ONCE])
        if None in parts:
            raise ValueLost(key, f"a value of {claim.size:,} bytes is missing, {place}.{key}.{claim.name}")
        if any(part is not None and len(part.value) > PART for part in parts):
            raise ValueLost(key, f"a value of {claim.size:,} bytes is damaged, {place}.{key}.{claim.name}")
        found += [part.value for part in parts if part is not None]
    value = b"".join(found)
    if not claim.fits(value):
        raise ValueLost(key, f"a value of {claim.size:,} bytes is damaged, {place}.{key}.{claim.name}")
    return value
