"""Payload codecs: how values are sealed on their way from user code into records, events and messages, and opened.

A sealed value is JSON, too: `{"$sealed":["zlib","aes-gcm/2026"],"digest":"...","data":"base64"}`. The digest is taken
before the value is sealed, so that two starts of one saga with one input are the same start although no two encryptions
are alike. A keyed digest is of the place, too: equal values of two sagas do not show as equal. `null` and absent values
stay as they are: the engine tells them from others.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sagakit.definition.raised import is_interrupt, told
from sagakit.errors import UNREADABLE, InvalidConfig, UnreadableValue, Unwritable

if TYPE_CHECKING:
    from sagakit.definition.value_codec import Codec

MARK = "$sealed"
"""The first field of a sealed value. A value of the user's that begins with it is refused."""
MAX_INFLATED = 32 * 1024 * 1024
"""Most bytes of a decompressed value: a megabyte from a stranger could become a gigabyte."""
_BEGINS = re.compile(rb'\s*\{\s*"\$sealed"\s*:')
_NULL = b"null"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class PayloadPlace(msgspec.Struct, frozen=True):
    """The place of a value: its saga, its part in it, and the digest that was taken before it was sealed.

    `part` is `input`, `output`, `result/STEP` (also of signals, reports and replies), or `given/STEP` for what a node
    begins with, such as a command. The input of a child is `given/NODE` of its parent, and its output `result/NODE`.
    The detail of a refusal, which parents take over, belongs to no saga: `saga_type` and `saga_id` are empty there.
    """

    saga_type: str
    saga_id: str
    part: str
    digest: str

    @property
    def associated_data(self) -> bytes:
        """The bytes to authenticate with a value, so that nobody moves it elsewhere unnoticed."""
        return msgspec.json.encode([self.saga_type, self.saga_id, self.part, self.digest])


class Sealed(msgspec.Struct, frozen=True):
    """A value as a payload codec has encoded it. `key` names the key that decodes it, and is stored in the clear."""

    data: bytes
    key: str = ""


class PayloadCodec(Protocol):
    """A protocol: encodes values before they are stored or sent, and decodes them. `Compressed` is one.

    Its methods are called in any thread, and often: they do no I/O. What they raise is handled like an error of a
    value's type: a call that gives the value raises, and a saga with a value that cannot be decoded is stuck until a
    worker can decode it, and `retry`.

    A codec may have one more method, `digests(data: bytes) -> Sequence[str]`: digests by which starts of one saga with
    equal inputs are found equal, that of the current key first and those of the other keys after it. `data` is the
    place and the plain JSON, so that the values of two sagas cannot be compared. Without the method digests are plain
    SHA-256 of the plain JSON, from which small inputs can be guessed.

    A codec that seals each value, and opens none that a stranger has made, may say so by the attribute
    `authenticates = True`. With one, a sealed value is opened only if such a codec has sealed it last, so that nothing
    else of a stranger's, such as compressed data, is ever decoded. Plain values are taken all the same.
    """

    name: str
    """The name that is stored with each value, and says which codec decodes it. It must never change."""

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed | None:
        """Return the encoded value, or None to leave this one as it is."""
        ...

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        """Return the bytes that `encode` was given. Raise anything if that is impossible."""
        ...


class Compressed(PayloadCodec):
    """A payload codec that compresses values of more than `above` bytes, and up to 32 MiB. Raises InvalidConfig."""

    name: str = "zlib"

    def __init__(self, above: int = 2048) -> None:
        if isinstance(above, bool) or not isinstance(above, int) or above < 0:
            raise InvalidConfig(f"Compressed(above={above!r}): say a number of bytes, 0 or more")
        self.above: int = above

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed | None:
        """Return the compressed value; None if it is not large, too large, or would not become smaller."""
        if not self.above < len(data) <= MAX_INFLATED:
            return None
        packed = zlib.compress(data)
        return Sealed(packed) if len(packed) < len(data) else None

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        """Return the value. Raises ValueError for one that is damaged, or larger than any value may be."""
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(sealed.data, MAX_INFLATED)
        except zlib.error as error:
            raise ValueError(f"the compressed data is damaged: {error}") from None
        if not inflate.eof:
            raise ValueError("the compressed data is cut off, or larger than any value may be")
        return data


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    sealed: list[str] = msgspec.field(name=MARK)
    digest: str
    data: bytes
    of: tuple[str, str, str] | None = None


_encoder = msgspec.json.Encoder()
_envelope = msgspec.json.Decoder(_Envelope)


class InSaga(Protocol):
    """A record, or the address of a saga."""

    @property
    def saga_type(self) -> str:
        """The type."""
        ...

    @property
    def saga_id(self) -> str:
        """The id."""
        ...


class Payloads:
    """Seals and opens the values of one program. Without codecs it keeps values as they are, and opens none.

    `saga` and `part` say where the value belongs, as `PayloadPlace` has it.
    """

    __slots__ = ("_authentic", "_by_name", "codecs")

    def __init__(self, codecs: PayloadCodec | Sequence[PayloadCodec] | None = None) -> None:
        """Take the codecs in the order in which they encode. Raises InvalidConfig."""
        self.codecs: Sequence[PayloadCodec] = _listed(codecs)
        """The codecs, in the order in which they encode."""
        self._by_name = {codec.name: codec for codec in self.codecs}
        self._authentic = {codec.name for codec in self.codecs if getattr(codec, "authenticates", False)}
        if len(self._by_name) < len(self.codecs):
            raise InvalidConfig("payload_codec=[...]: two codecs have the same name, so a value cannot name its codec")

    def read(self, codec: Codec, data: bytes | msgspec.Raw, saga: InSaga, part: str) -> Any:
        """Return a value, opened and decoded. Raises UnreadableValue."""
        return codec.decode(self.opened(data, saga, part) if _BEGINS.match(data) else data)

    def write(self, codec: Codec, value: object, saga: InSaga, part: str, *, foreign: bool = False) -> msgspec.Raw:
        """Return a value, encoded and sealed. Raises Unwritable."""
        return msgspec.Raw(self.sealed(codec.encode(value), saga, part, foreign=foreign))

    def opened(self, data: bytes | msgspec.Raw, saga: InSaga, part: str) -> bytes | msgspec.Raw:
        """Return the plain JSON of a value, which may be plain already. Raises UnreadableValue."""
        if not _BEGINS.match(data):
            return data
        try:
            envelope = _envelope.decode(data)
        except UNREADABLE as error:
            raise _unreadable(part, f"it is damaged: {error}") from None
        opened, place = envelope.data, PayloadPlace(saga.saga_type, saga.saga_id, part, envelope.digest)
        if not envelope.sealed:
            raise _unreadable(part, "it does not name the codec that has sealed it")
        if self._authentic and envelope.sealed[-1].partition("/")[0] not in self._authentic:
            raise _unreadable(part, f"it is sealed with {envelope.sealed[-1][:80]!r}: a stranger may have made it")
        for label in reversed(envelope.sealed):
            opened = self._decoded(label, opened, place)
        return opened

    def plain(self, data: bytes | msgspec.Raw, saga: InSaga, part: str) -> bytes | msgspec.Raw | None:
        """Return the plain JSON of a value; None if this program cannot open it."""
        try:
            return self.opened(data, saga, part)
        except UnreadableValue:
            return None

    def _decoded(self, label: str, data: bytes, place: PayloadPlace) -> bytes:
        name, _, key = label.partition("/")
        codec = self._by_name.get(name)
        if codec is None:
            raise _unreadable(
                place.part,
                f"it is sealed with {label[:80]!r}, for which this program has no codec: open it with "
                "payload_codec=..., as the program that has sealed it",
            )
        try:
            return bytes(codec.decode(Sealed(data, key), place))
        except BaseException as error:  # of the user's codec
            if is_interrupt(error):
                raise
            raise _unreadable(
                place.part, f"it is sealed with {label[:80]!r}, and cannot be opened: {told(error)}"
            ) from error

    def sealed(self, data: bytes | msgspec.Raw, saga: InSaga, part: str, *, foreign: bool = False) -> bytes:
        """Return plain JSON in its stored form. Raises Unwritable, also for JSON that looks like a sealed value.

        A `foreign` value is kept by another saga than the one that it belongs to, and says where it belongs.
        """
        if _BEGINS.match(data):
            raise Unwritable(part, "a payload", f"its first field is {MARK!r}, which marks sealed values: rename it")
        plain = bytes(data)
        if not self.codecs or not plain or plain == _NULL:
            return plain
        try:
            place = PayloadPlace(saga.saga_type, saga.saga_id, part, self.digests(plain, saga, part)[0])
            labels, data = [], plain
            for codec in self.codecs:
                sealed = codec.encode(data, place)
                if sealed is not None:
                    data = sealed.data
                    labels.append(f"{codec.name}/{sealed.key}" if sealed.key else codec.name)
            of = (saga.saga_type, saga.saga_id, part) if foreign else None
            return _encoder.encode(_Envelope(labels, place.digest, data, of)) if labels else plain
        except BaseException as error:  # of the user's codec
            if is_interrupt(error):
                raise
            raise Unwritable(part, "a payload", f"its codec failed: {told(error)}") from error

    def kept(self, data: msgspec.Raw, saga: InSaga, part: str) -> msgspec.Raw:
        """Return a value in its stored form: a plain value sealed, a sealed one unchanged."""
        if not self.codecs or not len(memoryview(data)) or _BEGINS.match(data):
            return data
        return msgspec.Raw(self.sealed(data, saga, part))

    def kept_or_why(self, data: msgspec.Raw, saga: InSaga, part: str) -> msgspec.Raw:
        """Return a value as `kept` does, or JSON that says why it cannot be sealed: a refusal counts anyway."""
        try:
            return self.kept(data, saga, part)
        except Unwritable as error:
            return msgspec.Raw(_encoder.encode({"not_sealed": error.reason}))

    def digests(self, plain: bytes, saga: InSaga, part: str) -> Sequence[str]:
        """Return the digests under which plain JSON may be known at its place, the current one first."""
        found: list[str] = []
        placed = msgspec.json.encode([saga.saga_type, saga.saga_id, part]) + b"\0" + plain
        for codec in self.codecs:
            digests = getattr(codec, "digests", None)
            if digests is not None:
                found = [*digests(placed), *found]
        return [*found, plain_digest(plain)]


def plain_digest(plain: bytes) -> str:
    """Return 16 hex digits that tell inputs apart."""
    return sha256(plain).hexdigest()[:16]


def digest_of(value: bytes | msgspec.Raw) -> str:
    """Return the digest of JSON. A sealed value has the digest that its sealer has noted."""
    data = bytes(value)
    if _BEGINS.match(data):
        try:
            return _envelope.decode(data).digest
        except UNREADABLE:
            pass
    return plain_digest(data)


def is_sealed(data: bytes | msgspec.Raw) -> bool:
    """Return True if JSON is a sealed value."""
    return _BEGINS.match(data) is not None


def seal_text(value: object) -> str | None:
    """Return words for a sealed value, which is JSON in Python's types; None for any other value."""
    if not isinstance(value, dict) or next(iter(value), None) != MARK:
        return None
    labels, data = value[MARK], value.get("data", "")
    with_what = ", ".join(map(str, labels)) if isinstance(labels, list) else str(labels)
    size = len(data) * 3 // 4 - data.count("=") if isinstance(data, str) else 0
    return f"sealed with {with_what}, {size:,} bytes"


def _listed(codecs: Any) -> Sequence[PayloadCodec]:
    listed = [] if codecs is None else list(codecs) if isinstance(codecs, list | tuple) else [codecs]
    for codec in listed:
        if isinstance(codec, type) or not callable(getattr(codec, "encode", None)) or not hasattr(codec, "decode"):
            raise InvalidConfig(f"payload_codec={codecs!r}: give a PayloadCodec, or a list of several")
        name = getattr(codec, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidConfig(
                f"payload_codec: {codec!r} has the name {name!r}: it takes small letters, digits, '.', '_' and '-'"
            )
    return listed


def _unreadable(part: str, reason: str) -> UnreadableValue:
    return UnreadableValue(part, "a payload", reason)


PLAIN_PAYLOADS: Payloads = Payloads()
"""The payloads of a program without codecs: values stay as they are."""
