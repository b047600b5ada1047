"""The rules for names of types, steps, signals, namespaces and workers, and the encoding of saga ids in keys.

A saga's id may be any text. It is encoded here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec

from sagakit.errors import InvalidId, InvalidName

MAX_NAME = 64
"""Characters that a name may have."""
MAX_ENCODED_ID = 512
"""Characters that an id may have once it is encoded."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORKER_ID = re.compile(r"[A-Za-z0-9_-]{1,100}").fullmatch
_PLAIN = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def is_name(text: str) -> bool:
    """Return True if a text may be a name: one token of a key and a subject."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a question for the known name that is most like `name`, as the end of an error text; empty if none is."""
    found = get_close_matches(str(name), known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it is valid; else raise InvalidName, which calls it by `what`."""
    if not is_name(name):
        raise InvalidName(
            f"{what} {name!r} must match [A-Za-z][A-Za-z0-9_-]* and have at most {MAX_NAME} characters: "
            "it becomes one token of a NATS key and subject"
        )
    return name


def is_worker_id(text: str) -> bool:
    """Return True if `text` may be a worker's id: one token of a subject, so that it cannot address anything else."""
    return _WORKER_ID(text) is not None


def encode_id(saga_id: str) -> str:
    """Encode any text, reversibly, as one token: letters, digits, `_` and `-` stay, each other UTF-8 byte is `=XX`.

    The empty text is a lone `=`. `=` itself is always encoded, so that no two ids share a token, and no id becomes a
    wildcard or a second token. Raises InvalidId when the result has more than MAX_ENCODED_ID characters, or when the id
    is not valid Unicode (lone surrogates).
    """
    if len(saga_id) <= MAX_ENCODED_ID and _PLAIN(saga_id):
        return saga_id
    try:
        raw = saga_id.encode()
    except UnicodeEncodeError as error:
        raise InvalidId(f"the saga id {saga_id[:40]!r} is not valid Unicode text: {error.reason}") from None
    token = "".join(chr(b) if b in _SAFE else f"={b:02X}" for b in raw) or "="
    if len(token) > MAX_ENCODED_ID:
        raise InvalidId(
            f"the saga id {saga_id[:40]!r}... has {len(token)} characters once encoded, the limit is {MAX_ENCODED_ID}: "
            "use a shorter id"
        )
    return token


def decode_id(token: str) -> str:
    """Return the id that `encode_id` has encoded. Raises ValueError for a token that is not the encoding of any id."""
    if len(token) <= MAX_ENCODED_ID and _PLAIN(token):
        return token
    if token == "=":
        return ""
    if len(token) > MAX_ENCODED_ID:
        raise ValueError(f"the id has {len(token)} characters once encoded, the limit is {MAX_ENCODED_ID}")
    if re.fullmatch(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+", token) is None:
        raise ValueError(f"{token!r} is not an encoded saga id")
    raw = re.sub(rb"=([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), token.encode())
    return raw.decode()


def id_of(text: str) -> str:
    """Return the id that a text means: the text may be the id, or its encoding as keys have it.

    A text that is the encoding of some id counts as that: `a=2Eb` is the id `a.b`, and `order=37` is an id by itself.
    """
    try:
        found = decode_id(text)
    except ValueError:
        return text
    return found if encode_id(found) == text else text


class SagaKey(msgspec.Struct, frozen=True):
    """The address of one saga: its type and id. `str()` gives the key in its buckets."""

    saga_type: str
    saga_id: str

    def __str__(self) -> str:
        return f"{self.saga_type}.{encode_id(self.saga_id)}"

    @classmethod
    def parse(cls, key: str) -> SagaKey:
        """Return the address that a key stands for. Raises ValueError for a key that sagakit did not write."""
        saga_type, _, token = key.partition(".")
        return cls(saga_type, decode_id(token))


def is_key_of(key: str, saga_type: str, saga_id: str) -> bool:
    """Return True if `key` is the key of the saga with this type and id."""
    try:
        return key == f"{saga_type}.{encode_id(saga_id)}"
    except InvalidId:
        return False
