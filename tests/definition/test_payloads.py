"""Payload codecs: what is sealed comes back, is bound to its place, and does not show; digests are of plain JSON."""

from __future__ import annotations

import zlib
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sagakit import Compressed, PayloadPlace, Sealed
from sagakit.client.shown_values import ShownValues
from sagakit.definition.payloads import MAX_INFLATED, Payloads, digest_of, is_sealed
from sagakit.encryption import Encrypted
from sagakit.engine.events import CloudEvent
from sagakit.engine.value_claims import LARGEST
from sagakit.errors import InvalidConfig, UnreadableValue, Unwritable
from sagakit.naming import SagaKey

K1, K2 = b"1" * 32, b"2" * 32


def codec(*keys: str) -> Encrypted:
    """Return a codec with these keys; the first one is current."""
    all_keys = {"k1": K1, "k2": K2}
    return Encrypted({key: all_keys[key] for key in keys}, current=keys[0])


def test_a_digest_is_that_of_the_plain_json_and_needs_a_key_to_be_guessed() -> None:
    saga, value = SagaKey("Order", "1"), b'"yes"'
    one, rotated = Payloads(codec("k1")), Payloads(codec("k2", "k1"))
    sealed = [digest_of(one.sealed(value, saga, "input")) for _ in range(2)]
    assert sealed[0] == sealed[1] != digest_of(value)
    assert sealed[0] in rotated.digests(value, saga, "input")
    assert rotated.digests(value, saga, "input")[0] != sealed[0]
    assert digest_of(value) in one.digests(value, saga, "input")  # of a saga that was started before there was a codec
    assert digest_of(Payloads(Compressed(above=0)).sealed(b'"%b"' % (b"a" * 99), saga, "input")) == digest_of(
        b'"%b"' % (b"a" * 99)
    )


def test_equal_values_of_two_places_have_digests_that_differ() -> None:
    payloads = Payloads(codec("k1"))
    places = [("Order", "1", "input"), ("Order", "2", "input"), ("Offer", "1", "input"), ("Order", "1", "result/pay")]
    sealed = [payloads.sealed(b'"4711"', SagaKey(saga_type, id), part) for saga_type, id, part in places]
    assert len(set(map(digest_of, sealed))) == len(places)


def test_a_sealed_value_is_bound_to_its_saga_and_its_part() -> None:
    payloads = Payloads(codec("k1"))
    here = SagaKey("Order", "1")
    sealed = payloads.sealed(b'"paid"', here, "result/charge")
    assert payloads.opened(sealed, here, "result/charge") == b'"paid"'
    elsewhere = [
        (SagaKey("Order", "2"), "result/charge"), (SagaKey("Offer", "1"), "result/charge"), (here, "result/ship"),
        (here, "input"),
    ]  # fmt: skip
    for saga, part in elsewhere:
        with pytest.raises(UnreadableValue, match="does not belong to"):
            payloads.opened(sealed, saga, part)
    other_digest = sealed.replace(digest_of(sealed).encode(), b"0" * 16)
    with pytest.raises(UnreadableValue):
        payloads.opened(other_digest, here, "result/charge")


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"$sealed":[],"digest":"","data":""}', b'{"$sealed":["aes-gcm/k1"]}', b'{"$sealed":3}', b'{"$sealed":',
        b'{"$sealed":["zlib"],"digest":"","data":"eA=="}', b'{"$sealed":["aes-gcm/k1"],"digest":"","data":"eA=="}',
    ],
)  # fmt: skip
def test_damaged_values_are_unreadable(damaged: bytes) -> None:
    payloads = Payloads([Compressed(), codec("k1")])
    with pytest.raises(UnreadableValue):
        payloads.opened(damaged, SagaKey("Order", "1"), "input")
    digest_of(damaged)  # and telling inputs apart does not fail


def test_a_program_that_encrypts_opens_nothing_that_was_only_compressed() -> None:
    saga, text = SagaKey("Order", "1"), b'"%b"' % (b"a" * 9998)
    of_a_stranger = Payloads(Compressed()).sealed(text, saga, "input")
    both = Payloads([Compressed(), codec("k1")])
    with pytest.raises(UnreadableValue, match="sealed with 'zlib': a stranger may have made it"):
        both.opened(of_a_stranger, saga, "input")
    assert both.opened(both.sealed(text, saga, "input"), saga, "input") == text
    moving = codec("k1")
    moving.authenticates = False  # as long as sagas are left that were begun without encryption
    assert Payloads([Compressed(), moving]).opened(of_a_stranger, saga, "input") == text


def test_what_is_compressed_is_never_larger_than_a_value_may_be() -> None:
    payloads, saga = Payloads(Compressed()), SagaKey("Order", "1")
    assert MAX_INFLATED <= LARGEST
    largest, larger = (b'"%b"' % (b"a" * (MAX_INFLATED - more)) for more in (2, 1))
    assert payloads.opened(payloads.sealed(largest, saga, "input"), saga, "input") == largest
    assert payloads.sealed(larger, saga, "input") == larger
    data = b64encode(zlib.compress(larger)).decode()
    with pytest.raises(UnreadableValue, match="larger than any value may be"):
        payloads.opened(msgspec.json.encode({"$sealed": ["zlib"], "digest": "", "data": data}), saga, "input")


# ------------------------------------------------------------- properties

JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(min_size=1), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JSON, some.text(min_size=1), some.integers(0, 100))
def test_any_value_comes_back_and_does_not_show(value: Any, part: str, above: int) -> None:
    payloads, saga = Payloads([Compressed(above=above), codec("k1")]), SagaKey("Order", "1")
    plain = msgspec.json.encode(value)
    if is_sealed(plain):
        with pytest.raises(Unwritable):
            payloads.sealed(plain, saga, part)
        return
    sealed = payloads.sealed(plain, saga, part)
    assert bytes(payloads.opened(sealed, saga, part)) == plain
    assert msgspec.json.encode(msgspec.json.decode(sealed)) == sealed
    if plain != b"null":
        assert is_sealed(sealed)
        assert len(plain) < 8 or plain not in sealed


@settings(max_examples=200, deadline=None)
@given(some.binary(min_size=1, max_size=8), some.integers(0, 300))
def test_any_change_of_the_bytes_is_found(change: bytes, at: int) -> None:
    payloads, saga = Payloads(codec("k1")), SagaKey("Order", "1")
    sealed = payloads.sealed(b'{"a":1}', saga, "input")
    at %= len(sealed)
    damaged = sealed[:at] + change + sealed[at + len(change) :]
    if not is_sealed(damaged):
        return
    with suppress(UnreadableValue):
        assert payloads.opened(damaged, saga, "input") == b'{"a":1}'  # such as another space between fields


def test_shown_values_never_raise_and_hide_nothing_from_who_has_the_key() -> None:
    payloads, saga = Payloads(codec("k1")), SagaKey("Order", "1")
    value = msgspec.json.decode(payloads.sealed(b'"paid"', saga, "result/charge"))
    assert ShownValues(payloads).value(value, saga, "result/charge") == "paid"
    assert ShownValues().value(value, saga, "result/charge") == "sealed with aes-gcm/k1, 34 bytes"
    assert ShownValues().told({"a": [value]}) == {"a": ["sealed with aes-gcm/k1, 34 bytes"]}


@pytest.mark.parametrize(
    ("saga_id", "field", "shown"),
    [("ann/r/kid/1", "output", True), ("ann/r/kid/1", "input", True), ("ann/r/kid/1", "result", False),
     ("eve", "output", False), ("annette", "input", False)],
)  # fmt: skip
def test_a_value_of_the_parent_is_shown_as_a_childs_input_and_output_only(
    saga_id: str, field: str, shown: bool
) -> None:
    payloads = Payloads(codec("k1"))
    value = msgspec.json.decode(payloads.sealed(b'"4711"', SagaKey("Pay", "ann"), "result/pin", foreign=True))
    event = CloudEvent(
        specversion="1.0", id="1", source="/sagas/Kid", type="x", subject=saga_id, run="r", sequence=1,
        time=datetime.now(UTC), datacontenttype="application/json", data={"step": "pin", field: value},
    )  # fmt: skip
    assert (ShownValues(payloads).event(event).data[field] == "4711") == shown


def test_a_start_is_not_shown_with_a_value_of_another_saga_whatever_it_says_of_its_parent() -> None:
    payloads = Payloads(codec("k1"))
    value = msgspec.json.decode(payloads.sealed(b'"4711"', SagaKey("Pay", "ann"), "given/pin"))
    start = {"kind": "start", "input": value, "parent": {"key": "Pay.ann", "node": "pin", "run": "r"}}
    for saga_id, shown in (("eve", False), ("ann=2Fr=2Fkid=2F1", True)):
        message = ShownValues(payloads).message(msgspec.json.encode(start), f"SAGA.in.Kid.{saga_id}")
        assert (b"4711" in bytes(message)) == shown


class Upper:
    """A codec with a name that says nothing."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
        return Sealed(data)

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        return sealed.data


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (7, "give a PayloadCodec, or a list of several"),
        (Compressed, "give a PayloadCodec, or a list of several"),
        (Upper("A/b"), "has the name 'A/b'"),
        (Upper(None), "has the name None"),
        ([Compressed(), Compressed(3)], "two codecs have the same name"),
    ],
)
def test_what_is_no_codec_is_refused(given: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        Payloads(given)


@pytest.mark.parametrize(
    ("keys", "current", "says"),
    [
        ({"k1": K1}, "k2", r"current='k2'.*no key"),
        ({"k1": b"short"}, "k1", "must have 16, 24 or 32 bytes"),
        ({"k 1": K1}, "k 1", "the key id 'k 1'"),
        ({"k1": "1" * 32}, "k1", "must have 16, 24 or 32 bytes"),
    ],
)
def test_keys_that_are_none_are_refused(keys: Any, current: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        Encrypted(keys, current=current)


@pytest.mark.parametrize("above", [-1, 1.5, True, "10"])
def test_a_size_that_is_none_is_refused(above: Any) -> None:
    with pytest.raises(InvalidConfig, match="say a number of bytes"):
        Compressed(above)


def test_only_large_values_are_compressed() -> None:
    payloads, saga = Payloads(Compressed(above=100)), SagaKey("Order", "1")
    small, large = b'"%b"' % (b"a" * 98), b'"%b"' % (b"a" * 9998)
    assert payloads.sealed(small, saga, "input") == small
    assert len(payloads.sealed(large, saga, "input")) < 200
    assert payloads.opened(payloads.sealed(large, saga, "input"), saga, "input") == large


def test_an_interrupt_passes_through_a_codec() -> None:
    class Stopped(Upper):
        def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Payloads(Stopped("stopped")).sealed(b"1", SagaKey("Order", "1"), "input")
