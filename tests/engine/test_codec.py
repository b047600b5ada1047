"""A value is read as a record only if it is one of the saga under its key (P11)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sagakit.definition.plan import Plan
from sagakit.engine import EndMarker, Loaded, create, decode, encode, encode_marker, foreign, read_header
from sagakit.errors import NewerSchema, Undecodable
from sagakit.naming import SagaKey


def _bytes_of(plan: Plan, saga_id: str = "1", **fields: Any) -> bytes:
    record = create(plan, saga_id=saga_id, run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    return msgspec.json.encode(msgspec.json.decode(encode(record)) | fields)


@pytest.mark.parametrize("saga_id", ["1", "", "a.b/*>", "ä\u4e2d", "=", "\u0000"])
def test_a_record_is_read_under_its_own_key(saga_id: str, simple: Plan) -> None:
    value = _bytes_of(simple, saga_id)
    key = str(SagaKey("T", saga_id))
    assert isinstance(decode(key, value), Loaded)
    assert read_header(key, value).owner == "w"
    assert foreign(key, value) is None


@pytest.mark.parametrize("key", ["T.2", "T.", "T", "U.1", "T.1.1", "T.=31", ""])
def test_p11_a_record_under_the_key_of_another_saga_is_refused(key: str, simple: Plan) -> None:
    """A copied record would run with the keys and event ids of the saga that it was copied from."""
    value = _bytes_of(simple)
    for read in (decode, read_header):
        with pytest.raises(Undecodable, match="it names the saga '1' of type 'T'"):
            read(key, value)
    assert foreign(key, value) is not None


@pytest.mark.parametrize("saga_id", ["x" * 600, "\ud800", "x" * 10_000])
def test_p11_an_id_that_no_key_can_have_is_refused(saga_id: str, simple: Plan) -> None:
    value = _bytes_of(simple).replace(b'"saga_id":"1"', b'"saga_id":%b' % json.dumps(saga_id).encode())
    with pytest.raises(Undecodable) as caught:
        decode("T.1", value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("owner", ["", "a.b", "*", ">", "a b", "x" * 10_000, "ä", "a\nb", "x 0\r\n\r\nPUB evil"])
def test_p11_an_owner_that_cannot_be_a_worker_is_refused(owner: str, simple: Plan) -> None:
    """The owner's id becomes a part of subjects and keys."""
    value = _bytes_of(simple, owner=owner)
    for read in (decode, read_header):
        with pytest.raises(Undecodable, match="is not a worker's id") as caught:
            read("T.1", value)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("time", [1e300, -1.0, 1e18, -1e300, 253_402_300_800])
@pytest.mark.parametrize("field", ["created_at", "updated_at", "outcome"])
def test_p11_a_time_that_no_calendar_shows_is_refused(field: str, time: float, simple: Plan) -> None:
    fields: dict[str, Any] = {field: time}
    if field == "outcome":
        fields = {"status": "completed", "outcome": {"status": "completed", "at": time}}
    with pytest.raises(Undecodable, match="Expected `float`"):
        decode("T.1", _bytes_of(simple, **fields))
    with pytest.raises(Undecodable, match="Expected `float`"):
        decode("T.1", msgspec.json.encode({"ended": time, "outcome": "failed", "input_digest": "", "run": ""}))


def test_a_record_or_marker_that_sagakit_may_have_written_is_not_foreign(simple: Plan) -> None:
    """A record of a newer schema may name its saga in another way; an end marker does not name one."""
    newer = _bytes_of(simple, schema=99)
    with pytest.raises(NewerSchema):
        decode("T.1", newer)
    for value in (newer, b'{"schema":99}', encode_marker(EndMarker(0.0, "failed", "", ""))):
        assert foreign("T.1", value) is None
    assert foreign("T.2", newer) is not None
