"""A verb for many sagas: a dry run tells the verdict for each saga, and a mistake is refused at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing
from sagakit import NotAllowed, Saga, SagaInfo, signal
from sagakit.errors import InvalidInput
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.system.members import Member, member, until_ended
from tests.system.stuck_sagas import audit, stuck

Clock = trio.testing.MockClock


class Old(Saga[str], name="Job", version=1):
    go = signal(str)


class New(Saga[str], name="Job", version=2):
    go = signal(str)


VERBS = ["cancel", "retry", "compensate", "terminate"]


async def sagas_of_all_sorts(server: MemoryServer, running: Member, saga: BookTrip) -> list[SagaInfo]:
    """Return four sagas: stuck, waiting for its next attempt, just ended, and archived."""
    runtime = running.runtime
    await stuck(runtime, saga, "stuck", Trip(fail="tickets"))
    await runtime.execute(BookTrip, "archived", Trip())
    await until_ended(server, "BookTrip.archived")
    server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.completed", delay=60.0))
    await runtime.execute(BookTrip, "ended", Trip())
    found = [*(await runtime.list(status="stuck")).items, *(await runtime.list(status="completed")).items]
    assert [info.id for info in found] == ["stuck", "ended", "archived"]
    return found


@pytest.mark.parametrize("verb", VERBS)
async def test_a_dry_run_gives_the_verdicts_that_the_sagas_would_give(autojump_clock: Clock, verb: Any) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        infos = await sagas_of_all_sorts(server, running, saga)
        before = [await running.runtime.record(info.key) for info in infos]
        dry = await running.runtime.bulk(verb, infos, reason="a trial")
        assert [await running.runtime.record(info.key) for info in infos] == before
        assert audit(server, verb) == []
        wet = await running.runtime.bulk(verb, infos, reason="in earnest", dry_run=False)
    assert [(info.id, verdict) for info, verdict in dry] == [(info.id, verdict) for info, verdict in wet]
    assert [verdict for _, verdict in dry][1:] == ["ended", "ended"]


async def test_a_dry_run_says_where_only_other_workers_know_the_version(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Old()) as old, member(server, New()) as new:
        await old.runtime.start(Old, "one", "x")
        infos = (await old.runtime.list()).items
        dry = await new.runtime.bulk("cancel", infos, reason="a trial")
    assert [verdict for _, verdict in dry] == ["unknown here"]


MISTAKES: list[tuple[Any, Any, str]] = [
    ("retrry", [], r"bulk\('retrry', \.\.\.\): say one of cancel, retry, .*; did you mean 'retry'\?"),
    ("signal", [], r"bulk\('signal', \.\.\.\): say one of cancel, retry, compensate, terminate"),
    (None, [], "say one of cancel"),
    ("retry", ["BookTrip.one"], "item 0 is 'BookTrip.one', not a SagaInfo: take the items from"),
    ("retry", "BookTrip.one", "give it a list of SagaInfos, such as `page.items`"),
    ("retry", None, "give it a list of SagaInfos"),
]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("verb", "infos", "text"), MISTAKES, ids=str)
async def test_a_bulk_with_wrong_arguments_is_refused(
    autojump_clock: Clock, verb: Any, infos: Any, text: str, dry_run: bool
) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(InvalidInput, match=text):
            await running.runtime.bulk(verb, infos, reason="", dry_run=dry_run)


async def test_a_bulk_with_one_wrong_item_applies_nothing(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        items: list[Any] = [*(await running.runtime.list()).items, "two"]
        with pytest.raises(InvalidInput, match="item 1 is 'two'"):
            await running.runtime.bulk("terminate", items, reason="", dry_run=False)
        assert (await record_of(handle)).status == "stuck"
        with pytest.raises(InvalidInput, match="give it a list of SagaInfos"):
            await running.runtime.bulk("terminate", await running.runtime.list(), reason="")  # type: ignore[arg-type]
        with pytest.raises(NotAllowed):
            await handle.mark_undone("hotel", "seen")


async def test_a_verb_without_a_reason_is_refused_before_anything_is_applied(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        page = await running.runtime.list()
        for call in (
            lambda: handle.terminate(""),
            lambda: handle.compensate(" "),
            lambda: handle.mark_undone("hotel", ""),
            lambda: handle.complete_step("tickets", "x", ""),
            lambda: running.runtime.bulk("terminate", page.items, reason="", dry_run=False),
        ):
            with pytest.raises(InvalidInput, match="needs a reason: say why; the events of the saga keep it"):
                await call()
        assert (await record_of(handle)).status == "stuck"
        await handle.retry()  # its reason is an option


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("given", [{"reason": None}, {"reason": 7}, {"reason": "x", "by": 7}])
async def test_a_reason_that_is_not_text_is_refused_before_anything_is_applied(
    autojump_clock: Clock, given: Any, dry_run: bool
) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        for items in ((await running.runtime.list()).items, []):
            with pytest.raises(InvalidInput, match="Expected `str`"):
                await running.runtime.bulk("retry", items, dry_run=dry_run, **given)
    assert audit(server, "retry") == []
