"""Ids are encoded reversibly, without collisions, and never become a wildcard or a second token.

See docs/architecture.md, "Names".
"""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sagakit.errors import InvalidId, InvalidName
from sagakit.store.names import MAX_ENCODED_ID, Names, SagaKey, decode_id, encode_id

ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(ids)
def test_an_id_round_trips_as_one_token(saga_id: str) -> None:
    token = encode_id(saga_id)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert decode_id(token) == saga_id
    assert SagaKey.parse(str(SagaKey("Trip", saga_id))) == SagaKey("Trip", saga_id)


@given(ids, ids)
def test_two_ids_never_share_a_key(one: str, other: str) -> None:
    assume(one != other)
    assert encode_id(one) != encode_id(other)


@pytest.mark.parametrize("token", ["", "a.b", "=2", "=zz", "a=", "*", "=2e"])
def test_what_no_id_encodes_to_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not an encoded saga id"):
        decode_id(token)


def test_an_id_is_bounded() -> None:
    assert encode_id("x" * MAX_ENCODED_ID)
    with pytest.raises(InvalidId):
        encode_id("x" * (MAX_ENCODED_ID + 1))


def test_namespace_and_shards_stand_in_every_name() -> None:
    names = Names(namespace="shop", shards=4)
    assert names.state == tuple(f"shop_SAGA_STATE_{n}" for n in range(4))
    key = str(SagaKey("Trip", "1"))
    shard = names.shard_of(key)
    assert names.event_subject(key, "Trip", "started") == f"shop.saga.{shard}.Trip.started"
    assert f"shop.saga.{shard}.*.started" in names.event_subjects(shard)
    assert names.inbound_subject("client", SagaKey("Trip", ".")) == "shop.sagain.Trip.=2E"
    plain = Names()
    assert (plain.meta, plain.state, plain.archive) == ("SAGA_META", ("SAGA_STATE",), ("SAGA_ARCHIVE",))
    assert plain.event_subject(key, "Trip", "step.hotel") == "saga.Trip.step.hotel"
    with pytest.raises(InvalidName):
        Names(namespace="a.b")


def test_shards_are_stable_and_even() -> None:
    names = Names(shards=8)
    counts = Counter(names.shard_of(f"Trip.{number}") for number in range(8000))
    assert min(counts.values()) > 800
    assert names.shard_of("Trip.1") == Names(shards=8).shard_of("Trip.1") == 2
