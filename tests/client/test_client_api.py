"""The methods that a client and a runtime share, by one suite: under asyncio, under trio, and on a runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sagakit import ClientApi, Completed, Failed, SagaFailed
from sagakit.errors import (
    AlreadyStarted,
    InputTooLarge,
    InvalidId,
    InvalidInput,
    NotAllowed,
    TooLate,
    UnknownSaga,
)

from tests.client.faces import FACES, Buy, Order, on_face
from tests.servers import Server

OnApi = Callable[[Callable[[ClientApi], Awaitable[None]]], None]


@pytest.fixture(params=FACES)
def on_api(request: pytest.FixtureRequest, server: Server, namespace: str) -> OnApi:
    """Runs a test on one face."""

    def run(body: Callable[[ClientApi], Awaitable[None]]) -> None:
        on_face(request.param, server, namespace, body)

    return run


def test_a_saga_is_started_and_its_outcome_awaited(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7), attributes={"region": "eu"}, correlation_id="c")
        assert (handle.id, handle.key) == ("one", "Buy.one")
        assert await handle.outcome() == Completed("7 unasked")
        assert await handle.result() == "7 unasked"
        assert await handle.wait() == "completed"
        record = await sagas.load(Buy, "one")
        assert (record.attributes, record.correlation_id) == ({"region": "eu"}, "c")
        assert await sagas.execute(Buy, None, Order(8)) == Completed("8 unasked")

    on_api(body)


def test_a_refused_saga_says_why(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, refused=True))
        match await handle.outcome():
            case Failed(code=code, detail=detail, cause=cause):
                assert (code, detail, cause) == ("sold out", {"number": 7}, "rejected")
            case other:
                raise AssertionError(other)
        with pytest.raises(SagaFailed, match="sold out"):
            await handle.result()

    on_api(body)


def test_the_same_start_returns_the_same_saga_and_another_input_is_refused(on_api: OnApi) -> None:
    """P10."""

    async def body(sagas: ClientApi) -> None:
        assert await sagas.execute(Buy, "one", Order(7)) == Completed("7 unasked")
        run = (await sagas.load(Buy, "one")).run
        again = await sagas.start(Buy, "one", Order(7))
        assert await again.outcome() == Completed("7 unasked")
        assert (await sagas.load(Buy, "one")).run == run
        with pytest.raises(AlreadyStarted, match=r"Buy\.one"):
            await sagas.start(Buy, "one", Order(8))

    on_api(body)


def test_wrong_arguments_are_refused_before_anything_is_sent(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        with pytest.raises(InvalidId):
            await sagas.start(Buy, "  ", Order())
        with pytest.raises(InvalidInput):
            await sagas.start(Buy, "one", 7)  # type: ignore[misc]
        with pytest.raises(InvalidInput, match="16,384"):
            await sagas.start(Buy, "one", Order(), attributes={"a": "x" * 20_000})
        with pytest.raises(InputTooLarge):
            await sagas.start(Buy, "one", Order(note="x" * 2**20))
        with pytest.raises(InvalidInput):
            await sagas.list(status="no such status")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await sagas.get(Buy(), "one")  # type: ignore[arg-type]
        for method in (sagas.get, sagas.load, sagas.describe, sagas.history):
            with pytest.raises(UnknownSaga, match=r"Buy\.one"):
                await method(Buy, "one")
        with pytest.raises(UnknownSaga):
            await sagas.signal(Buy, "one", Buy.approved, "x")

    on_api(body)


def test_a_signal_reaches_a_saga_once(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, asks=True))
        await sagas.signal(Buy, "one", Buy.approved, "ann", message_id="m1")
        assert await handle.outcome() == Completed("7 ann")
        await sagas.signal(Buy, "one", Buy.approved, "ann", message_id="m1")
        with pytest.raises(NotAllowed):
            await sagas.signal(Buy, "one", Buy.approved, "bob", message_id="m2")
        with pytest.raises(InvalidInput, match=r"Buy\.approved"):
            await sagas.signal(Buy, "one", Buy.charge, "x")  # type: ignore[arg-type]

    on_api(body)


def test_a_signal_that_says_who_sends_it_is_audited(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, asks=True))
        await sagas.signal(Buy, "one", Buy.approved, "yes", reason="they called", by="ann")
        await handle.outcome()
        events = (await sagas.history(Buy, "one")).events
        assert [event.data for event in events if event.type == "saga.Buy.operator.signal"] == [
            {"by": "ann", "reason": "they called", "step": "approved"}
        ]

    on_api(body)


def test_a_saga_is_started_with_a_signal_or_the_one_there_is_gets_it(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        for _ in range(2):
            handle = await sagas.start_with_signal(
                Buy, "new", Order(7, asks=True), Buy.approved, "ann", message_id="m1"
            )
            assert await handle.outcome() == Completed("7 ann")
        await sagas.start(Buy, "there", Order(8, asks=True))
        handle = await sagas.start_with_signal(Buy, "there", Order(8, asks=True), Buy.approved, "bob")
        assert await handle.outcome() == Completed("8 bob")
        with pytest.raises(NotAllowed):
            await sagas.start_with_signal(Buy, "there", Order(8, asks=True), Buy.approved, "eve")
        with pytest.raises(AlreadyStarted):
            await sagas.start_with_signal(Buy, "there", Order(9), Buy.approved, "eve")

    on_api(body)


def test_a_known_id_is_an_error_if_the_start_says_so_but_never_for_the_same_message(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        for _ in range(2):
            handle = await sagas.start(Buy, "one", Order(7), id_conflict="error", message_id="m1")
            assert await handle.outcome() == Completed("7 unasked")
        with pytest.raises(AlreadyStarted):
            await sagas.start(Buy, "one", Order(7), id_conflict="error", message_id="m2")

    on_api(body)


def test_a_saga_may_begin_later_and_is_listed_meanwhile(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "later", Order(7), after=0.5)
        assert (await handle.describe()).status == "delayed"
        assert [info.id for info in (await sagas.list(status="delayed")).items] == ["later"]
        assert await handle.outcome() == Completed("7 unasked")
        never = await sagas.start(Buy, "never", Order(8), after=3600)
        await never.cancel()
        assert await never.wait() == "failed"
        with pytest.raises(InvalidInput, match="not both"):
            await sagas.start(Buy, "wrong", Order(), at=1, after=1)
        with pytest.raises(InvalidInput, match="year 9999"):
            await sagas.start(Buy, "wrong", Order(), at=1e12)
        early = await sagas.start(Buy, "early", Order(9), at=-1)
        assert await early.outcome() == Completed("9 unasked")

    on_api(body)


def test_a_payload_of_another_type_is_refused(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        await sagas.start(Buy, "one", Order(7, asks=True))
        for _ in range(2):
            with pytest.raises(InvalidInput, match="approved"):
                await sagas.signal(Buy, "one", Buy.approved, 3, message_id="m")  # type: ignore[misc]

    on_api(body)


def test_a_cancel_undoes_and_a_late_one_is_refused(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, asks=True))
        await handle.cancel("not wanted", message_id="c")
        await handle.cancel("not wanted", message_id="c")
        outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.compensated) == ("cancelled", ("reserve",))
        done = await sagas.start(Buy, "two", Order(8))
        await done.outcome()
        with pytest.raises(TooLate):
            await done.cancel()
        with pytest.raises(TooLate):
            await sagas.compensate(Buy, "two")

    on_api(body)


def test_a_stuck_saga_is_helped(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, breaks=True))
        assert await handle.wait(or_stuck=True) == "stuck"
        found = await handle.describe()
        assert found.stuck is not None
        assert found.input == Order(7, breaks=True)
        page = await sagas.list(where="status = stuck and step = charge", type=Buy)
        assert [info.id for info in page.items] == ["one"]
        with pytest.raises(InvalidInput, match="no step"):
            await handle.complete_step("chrage", "x", "because", by="ann")
        await handle.complete_step(Buy.charge, "by hand", "seen at the bank", by="ann")
        assert await handle.outcome() == Completed("by hand")
        with pytest.raises(NotAllowed):
            await handle.retry("again")

    on_api(body)


def test_a_saga_is_terminated(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        handle = await sagas.start(Buy, "one", Order(7, asks=True))
        await handle.terminate("no longer needed", by="ann", message_id="t")
        outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.cause == "terminated"
        await handle.terminate("no longer needed", by="ann", message_id="t")
        with pytest.raises(NotAllowed):
            await handle.terminate("no longer needed", by="ann")

    on_api(body)


def test_history_and_listings_show_what_happened(on_api: OnApi) -> None:
    async def body(sagas: ClientApi) -> None:
        await sagas.execute(Buy, "one", Order(7))
        await sagas.execute(Buy, "two", Order(8, refused=True))
        history = await sagas.history(Buy, "one")
        assert [event.type for event in history.events] == [
            "saga.Buy.started", "saga.Buy.step.reserve", "saga.Buy.step.charge", "saga.Buy.completed",
        ]  # fmt: skip
        assert [event.sequence for event in history.events] == [1, 2, 3, 4]
        assert [info.id for info in (await sagas.list(status="completed")).items] == ["one"]
        assert [info.id for info in (await sagas.list(status="failed", type=Buy)).items] == ["two"]
        shown = str(await sagas.describe(Buy, "one"))
        assert "Buy one: completed" in shown
        assert "7 unasked" in shown

    on_api(body)
