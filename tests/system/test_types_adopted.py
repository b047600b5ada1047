"""A saga that the next worker cannot read or migrate harms no other saga (P11)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import trio
import trio.testing
from sagakit import (
    Context,
    OldSaga,
    Saga,
    signal,
    step,
)
from sagakit.errors import CannotMigrate
from sagakit.store.memory_server import MemoryServer

from tests.system.members import killable, suffixes
from tests.system.money import EUR, SAYS, Conditional, Money, Pay, raising
from tests.system.money import money_is_good as money_is_good
from tests.system.odd_errors import Silent

Clock = trio.testing.MockClock


class Older(Saga[Money], name="Moved", version=1):
    go = signal(str)

    @step(go, compensate=None)
    async def note(self, money: Money, go: str, ctx: Context) -> None: ...


def _exit(old: OldSaga) -> None:
    raise SystemExit("argparse does so")


def _mute(old: OldSaga) -> None:
    raise Silent


def _says_no(old: OldSaga) -> None:
    raise CannotMigrate(Silent())


def _ring(old: OldSaga) -> None:
    old.input["itself"] = old.input


def _breaks(old: OldSaga) -> None:
    SAYS[:] = [lambda: SystemExit("in the type")]


def _no_names(old: OldSaga) -> None:
    old.names = None  # type: ignore[assignment]


@pytest.mark.parametrize("migrate", [_exit, _mute, _says_no, _ring, _breaks, _no_names])
async def test_p11_a_saga_whose_migration_raises_is_left_alone(
    migrate: Callable[[OldSaga], None], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Newer(Saga[Money], name="Moved", version=2):
        go = signal(str)

        @step(go, compensate=None)
        async def note(self, money: Money, go: str, ctx: Context) -> None: ...

        def migrate(self, old: OldSaga) -> None:
            migrate(old)

    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Older())
        await victim.runtime.start(Older, "1", EUR)
        victim.kill()
        before = server.bucket("SAGA_STATE").read("Moved.1")
        heir = await start(server, Newer(), scan_interval=1.0)
        await trio.sleep(60)
        SAYS.clear()
        await heir.runtime.start(Newer, "2", EUR)
        assert heir.worker.recovery.adopted == 0
        assert server.bucket("SAGA_STATE").read("Moved.1") == before
    assert caplog.text.count("cannot be moved to version 2: migrate: ") == 1


@raising
async def test_p11_a_saga_that_the_next_worker_cannot_read_is_adopted_and_harms_no_other(
    make: Callable[[], BaseException], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Pay(), Conditional())
        for n in range(12):
            await victim.runtime.start(Conditional, f"c{n}", EUR)
            await victim.runtime.start(Pay, f"p{n}", EUR)
        await trio.sleep(1)
        victim.kill()
        SAYS[:] = [make]
        heir = await start(server, Pay(), Conditional())
        with trio.fail_after(1000):
            for n in range(12):
                await heir.runtime.apply(f"Pay.p{n}", "signal", step="go", payload=msgspec.Raw(b'"x"'))
                await heir.runtime.apply(f"Conditional.c{n}", "signal", step="go", payload=msgspec.Raw(b'"x"'))
            for n in range(12):
                for key in (f"Pay.p{n}", f"Conditional.c{n}"):
                    assert (await heir.runtime.ended(key, or_stuck=True)).recoveries == 0
        assert "recovered" in suffixes(server, "p3")
    assert "crashed" not in caplog.text
