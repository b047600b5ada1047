"""Starts of known ids by programs that cannot open the sealed input: they say what is missing."""

from __future__ import annotations

from functools import partial

import pytest
import trio.testing
from sagakit import AlreadyStarted
from sagakit.client.messenger import may_return
from sagakit.client.saga_type import SagaType
from sagakit.definition.payloads import Payloads
from sagakit.engine import EndMarker
from sagakit.engine.codec import encode_marker
from sagakit.naming import SagaKey
from sagakit.store.memory_server import MemoryServer

from tests.system.members import member
from tests.system.test_sealed import SECRET, Everything, Part, codec

Clock = trio.testing.MockClock
KEY = SagaKey("Everything", "1")


async def test_a_program_without_the_codec_is_told_that_it_cannot_compare_inputs(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
        await running.runtime.start(Everything, "1", SECRET)
        for other in (None, codec("k2")):
            async with member(server, Everything(), Part(), payload_codec=other) as without:
                with pytest.raises(
                    AlreadyStarted, match=r"cannot be compared with this one .*sealed with 'aes-gcm/k1'"
                ):
                    await without.runtime.start(Everything, "1", SECRET)


@pytest.mark.parametrize("given", [SECRET, "another"])
async def test_an_end_marker_may_be_of_a_program_with_another_codec(given: str, autojump_clock: Clock) -> None:
    known = EndMarker(0.0, "completed", Payloads(codec("k1")).digests(b'"rosebud"', KEY, "input")[0], "run")
    server, of = MemoryServer(), SagaType.of(Everything)
    async with member(server, Everything(), Part()) as running:
        await running.store.state.create(str(KEY), encode_marker(known))
        with pytest.raises(AlreadyStarted, match="a different input, or by a program with another payload codec or k"):
            await running.runtime.start(Everything, "1", given)
    with pytest.raises(AlreadyStarted, match="another message, or by a program with another payload codec or key"):
        may_return(str(KEY), known, partial(of.same_input, of.encode_input(given), "1"))
