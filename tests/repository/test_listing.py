"""Listings by a filter, and the page that describes filters."""

from __future__ import annotations

import re

import pytest
import trio
import trio.testing
from sagakit import Context, InvalidFilter, Reject, Saga, signal, step
from sagakit.repository import parse
from sagakit.repository.filters import ATTRIBUTES, FIELDS
from sagakit.store.memory_server import MemoryServer

from tests.docs.blocks import ROOT, blocks
from tests.system.members import member

Clock = trio.testing.MockClock
PAGE = ROOT / "docs" / "filters.md"


class Wrapping:
    """Refuses what is ugly; everything else waits for a signal."""

    @step
    async def wrap(self, what: str, ctx: Context) -> None:
        if what == "ugly":
            raise Reject("ugly")

    @wrap.compensate
    async def unwrap(self, what: str, wrap: None, ctx: Context) -> None: ...

    go = signal(str, after=[wrap])


class Gift(Wrapping, Saga[str]):
    """A type of saga."""


class Card(Wrapping, Saga[str]):
    """Another type of saga."""


async def test_a_listing_has_what_the_filter_fits_live_and_ended(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Gift(), Card()) as running:
        runtime = running.runtime
        for kind in (Gift, Card):
            await runtime.start(kind, "kite", "kite", attributes={"region": "eu"})
            await runtime.start(kind, "sock", "ugly", attributes={"region": "us"})
        await trio.sleep(10)

        async def found(where: str, **more: object) -> list[str]:
            page = await runtime.list(where=where, **more)  # type: ignore[arg-type]
            return sorted(info.key for info in page.items)

        assert await found("step = go") == ["Card.kite", "Gift.kite"]
        assert await found("type = Gift") == ["Gift.kite"], "what has ended is listed if its status is named"
        assert await found("type = Gift and status in (running, failed)") == ["Gift.kite", "Gift.sock"]
        assert await found("status = failed and code = ugly", limit=1) == ["Card.sock"]
        assert await found("attributes.region = eu and created > -1m", type=Card) == ["Card.kite"]
        assert await found("created < -1m") == []
        with pytest.raises(InvalidFilter, match="column 1: there is no field 'staus'; did you mean 'status'"):
            await runtime.list(where="staus = failed")


def test_the_page_has_every_field() -> None:
    _, _, section = PAGE.read_text().partition("## Which fields are there?")
    rows = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", section, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert sorted(listed) == sorted([*FIELDS, f"{ATTRIBUTES}NAME"])


def test_the_examples_of_the_page_can_be_read_and_its_mistake_is_explained() -> None:
    examples, refused = blocks(PAGE, "text")
    for text in examples.splitlines():
        parse(text, now=0.0)
    with pytest.raises(InvalidFilter) as error:
        parse("status = stuk", now=0.0)
    assert f"{error.value}\n" == refused
