"""`Encrypted`: a payload codec that encrypts values with AES-GCM, by the library `cryptography` (extra `crypto`).

    codec = [Compressed(above=2048), Encrypted({"2026": key}, current="2026")]
    async with sagakit.open_runtime("nats://localhost", sagas=[PlaceOrder(shop)], payload_codec=codec) as runtime:

To rotate, give all programs the new key first, and then make it the current one. docs/encryption.md has the steps.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping, Sequence

from sagakit.definition.payloads import PayloadCodec, PayloadPlace, Sealed
from sagakit.errors import InvalidConfig
from sagakit.extras import named

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ModuleNotFoundError as _error:
    raise named(_error, __name__, "crypto") from None

NONCE = 12
"""Bytes of a nonce. They are random: one key is good for four billion values."""
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Encrypted(PayloadCodec):
    """A payload codec that encrypts with one key and decrypts with several. Raises InvalidConfig.

    `keys` are by their ids, which are stored in the clear with each value; a key has 16, 24 or 32 random bytes.
    `current` is the id of the key that encrypts. A value is bound to its place: moved to another saga or step, it
    cannot be decrypted. Digests are keyed, and of the place, too: nobody without the keys can guess a value from its
    digest, or find equal values of two sagas.
    """

    name: str = "aes-gcm"
    authenticates: bool = True
    """True if a program with this codec opens no sealed values but encrypted ones. With False it opens all."""

    def __init__(self, keys: Mapping[str, bytes], *, current: str) -> None:
        for id, key in keys.items():
            if not isinstance(id, str) or not _KEY_ID.fullmatch(id):
                raise InvalidConfig(f"Encrypted: the key id {id!r} is not made of letters, digits, '.', '_' and '-'")
            if not isinstance(key, bytes) or len(key) not in (16, 24, 32):
                raise InvalidConfig(f"Encrypted: the key {id!r} must have 16, 24 or 32 bytes: use os.urandom(32)")
        if current not in keys:
            raise InvalidConfig(f"Encrypted(current={current!r}): keys= has no key with this id")
        self.current: str = current
        self._ciphers = {id: AESGCM(key) for id, key in keys.items()}
        # a key of its own for the digests: one key is for one purpose
        derived = {id: hmac.digest(key, b"sagakit: digests of inputs", "sha256") for id, key in keys.items()}
        self._digest_keys = [derived.pop(current), *derived.values()]

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
        """Return the encrypted value."""
        nonce, key = os.urandom(NONCE), self.current
        return Sealed(nonce + self._ciphers[key].encrypt(nonce, data, _bound(key, place)), key)

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        """Return the decrypted value. Raises ValueError for an unknown key, and for a value that is not as it was."""
        cipher = self._ciphers.get(sealed.key)
        if cipher is None:
            raise ValueError(f"the key {sealed.key!r} is not known here: give Encrypted(keys=...) this key, too")
        try:
            return cipher.decrypt(sealed.data[:NONCE], sealed.data[NONCE:], _bound(sealed.key, place))
        except (InvalidTag, ValueError):
            raise ValueError(
                f"it does not belong to {place.part} of {place.saga_type}/{place.saga_id}, was changed, or was "
                f"encrypted with another key of the id {sealed.key!r}"
            ) from None

    def digests(self, data: bytes) -> Sequence[str]:
        """Return the keyed digests of a place and its value, that of the current key first."""
        return [hmac.digest(key, data, "sha256").hex()[:16] for key in self._digest_keys]


def _bound(key: str, place: PayloadPlace) -> bytes:
    return key.encode() + b"\0" + place.associated_data
