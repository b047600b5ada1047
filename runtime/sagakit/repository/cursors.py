"""Cursors: the place at which the next page of a listing begins, as a text that callers hand back unread."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from zlib import crc32

import msgspec

from sagakit.errors import UNREADABLE, InvalidInput
from sagakit.repository.wanted import Wanted


class ListingPlace(msgspec.Struct, frozen=True, array_like=True):
    """A place in a listing: the sequence at which each stream goes on, 0 where it has ended, None where it begins.

    `listing` tells listings of other types and other streams apart.
    """

    listing: int
    sequences: Sequence[int | None]


_place = msgspec.json.Decoder(ListingPlace)


def cursor_of(wanted: Wanted, sequences: Sequence[int | None]) -> str:
    """Return the cursor for a place in a listing."""
    place = ListingPlace(_listing(wanted, len(sequences)), sequences)
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def sequences_of(cursor: str | None, wanted: Wanted, streams: int) -> Sequence[int | None]:
    """Return the sequence at which each stream goes on. Raises InvalidInput for a cursor of another listing."""
    if cursor is None:
        return [None] * streams
    try:
        place = _place.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (*UNREADABLE, ValueError, TypeError):
        raise InvalidInput(f"cursor={cursor!r}: write the `cursor` of the page before, or None to begin") from None
    if place.listing != _listing(wanted, streams) or len(place.sequences) != streams:
        raise InvalidInput(
            f"cursor={cursor!r} is of a listing of other sagas: use it with the arguments of its page, or None to begin"
        )
    return place.sequences


def _listing(wanted: Wanted, streams: int) -> int:
    patterns = wanted.patterns
    return crc32(msgspec.json.encode([patterns, streams, wanted.ended, wanted.live]))


def check_limit(limit: int | None) -> None:
    """Raise InvalidInput unless a page can have so many items."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInput(f"limit={limit!r}: at least 1, a whole number, or None for all sagas")
