"""Tests of a payload codec in `simulate`, `explore` and `sagakit.run`, as an encrypted worker has one."""

from __future__ import annotations

import pytest
import sagakit
from sagakit import Completed, Compressed, Context, PayloadCodec, PayloadPlace, Saga, Sealed, child, signal
from sagakit.definition.payloads import is_sealed
from sagakit.encryption import Encrypted
from sagakit.errors import InvalidConfig
from sagakit.testing import Exploration, Send, simulate

from tests.testing.remote_shop import Buy, books_balance, services
from tests.testing.shops import Fetch

CODEC = [Compressed(above=100), Encrypted({"2026": b"k" * 32}, current="2026")]


class Paid(Saga[int]):
    """A saga that waits for a signal."""

    paid = signal(int)


class Buys(Saga[int, int]):
    """A saga that has a child fetch things."""

    fetch = child(Fetch, lambda number, ctx: number)

    def output(self, input: int, ctx: Context) -> int:
        return ctx.result(Buys.fetch)


class Counting(PayloadCodec):
    """Changes nothing, and counts the values that it opens."""

    name = "counting"

    def __init__(self) -> None:
        self.opened = 0

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
        return Sealed(data)

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        self.opened += 1
        return sealed.data


class Closed(Counting):
    """Seals, and opens nothing."""

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        raise ValueError("the key is lost")


def test_a_simulated_saga_seals_its_values_and_opens_them() -> None:
    trace = simulate(Fetch(), 3, payload_codec=CODEC)
    trace.check_promises()
    assert trace.outcome == Completed(3)
    assert trace.record is not None
    assert is_sealed(trace.record.input)
    assert is_sealed(trace.record.steps["reserve"].result)


def test_a_simulated_signal_is_sealed() -> None:
    trace = simulate(Paid(), 1, send=[Send(Paid.paid, 7)], payload_codec=CODEC)
    trace.check_promises()
    assert trace.record is not None
    assert is_sealed(trace.record.steps["paid"].result)


def test_simulated_children_open_what_their_parent_has_sealed() -> None:
    trace = simulate(Buys(), 3, also=[Fetch()], payload_codec=CODEC)
    trace.check_promises()
    assert trace.outcome == Completed(3)
    assert trace.record is not None
    assert is_sealed(trace.record.steps["fetch"].result)


def test_simulated_services_have_the_codec_of_the_worker() -> None:
    saga = Buy()
    trace = simulate(saga, 3, services=services(saga), payload_codec=CODEC)
    trace.check_promises()
    books_balance(saga, trace)
    assert isinstance(trace.outcome, Completed)
    assert trace.record is not None
    assert all(is_sealed(trace.record.steps[name].result) for name in ("charge", "ship"))


def test_a_codec_that_opens_nothing_leaves_the_simulated_saga_stuck() -> None:
    trace = simulate(Fetch(), 3, payload_codec=Closed())
    assert trace.stuck
    assert "the key is lost" in str(trace.record)


def test_every_fault_strikes_a_saga_with_a_codec() -> None:
    codec = Counting()
    report = Exploration(make=Fetch, input=3, payload_codec=codec).run()
    assert codec.opened > report.fault_points_planned == report.fault_points_reached > 50


def test_a_codec_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="payload_codec"):
        simulate(Fetch(), 3, payload_codec=Compressed)  # type: ignore[arg-type]


def test_a_script_has_a_codec() -> None:
    assert sagakit.run(Fetch(), "one", 3, url="memory:", payload_codec=CODEC) == Completed(3)
    with pytest.raises(sagakit.SagaStuck, match="the key is lost"):
        sagakit.run(Fetch(), "one", 3, url="memory:", payload_codec=Closed())
