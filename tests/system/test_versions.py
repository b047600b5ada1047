"""A saga outlives a change of its code: several versions, migration at adoption, workers that know some versions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import Completed, Context, Failed, OldSaga, Saga, signal, step
from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import AttemptEnded, Record, apply, create, effects
from sagakit.engine.results import Complete
from sagakit.errors import CannotMigrate
from sagakit.store.memory_server import MemoryServer

from tests.child_lines import ChildLines
from tests.servers import Server
from tests.system.members import killable, suffixes
from tests.system.versions import Order, OrderOne, OrderTwo, Shelf

Clock = trio.testing.MockClock
ROOT = Path(__file__).parents[2]


# --------------------------------------------------------------- two processes


@pytest.fixture
def worker(server: Server, namespace: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that runs a worker process: `worker("1", "start")` knows version 1."""
    started: list[subprocess.Popen[str]] = []

    def start(versions: str, *jobs: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.system.versions", server.url, namespace, str(tmp_path / "log")]
        with (tmp_path / f"stderr-{len(started)}").open("wb") as errors:
            process = subprocess.Popen(
                [*command, versions, *jobs],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _says(process: subprocess.Popen[str], wanted: str) -> str:
    return ChildLines(process).until(wanted)


def _effects(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


def test_a_saga_outlives_a_deployment(worker: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    first = worker("1", "start", "hang:charge")
    _says(first, "hangs in charge")
    first.kill()
    second = worker("2", "finish")
    assert "['books', 'reserve done', 'insure done']" in _says(second, "Completed")
    events = _says(second, "started")
    wanted = "started step.reserve migrated recovered step.charge.retrying step.charge step.insure completed"
    assert events.strip() == str(wanted.split())
    assert _effects(tmp_path / "log") == ["reserve", "charge", "insure"], "steps that were done were not called again"


def test_p11_a_worker_that_knows_only_the_old_version_leaves_the_new_one_alone(
    worker: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = worker("2", "start", "hang:charge")
    _says(first, "hangs in charge")
    first.kill()
    old = worker("1")
    _says(old, "ready")
    report = tmp_path / "stderr-1"
    while "version 2 with plan" not in report.read_text():
        assert old.poll() is None
    assert "is not known to this worker: left alone" in report.read_text()
    second = worker("12", "finish")
    assert "['books', 'hold done', 'insure done']" in _says(second, "Completed")
    assert _effects(tmp_path / "log") == ["hold", "charge", "insure"]


# ----------------------------------------------------------------- in one process


class Pause(Shelf):
    """A saga in memory that hangs in one step until the test lets it go on."""

    def __init__(self, hang: str = "") -> None:
        super().__init__(Path("/nowhere"), hang)
        self.keys: list[str] = []
        self.reached = trio.Event()

    async def do(self, what: str, key: str) -> str:
        self.keys.append(key)
        if what == self.hang:
            self.reached.set()
            await trio.sleep_forever()
        return f"{what} done"


async def test_a_saga_continues_under_its_old_version_where_that_is_registered_too(autojump_clock: Clock) -> None:
    server, pause = MemoryServer(), Pause("charge")
    async with killable() as start:
        victim = await start(server, OrderOne(pause))
        await victim.runtime.start(OrderOne, "a", "books")
        await pause.reached.wait()
        victim.kill()
        heir = await start(server, OrderOne(Pause()), OrderTwo(Pause()))
        outcome = await (await heir.runtime.get(OrderOne, "a")).outcome()
        assert outcome == Completed("charge done")
        new = await heir.runtime.execute(OrderTwo, "b", Order("pens", False))
        assert new == Completed(["pens", "hold done", "insure done"])
    assert "migrated" not in suffixes(server, "a")


async def test_a_migrated_saga_is_undone_under_the_keys_of_its_actions(autojump_clock: Clock) -> None:
    server, one, two = MemoryServer(), Pause("charge"), Pause("insure")
    async with killable() as start:
        victim = await start(server, OrderOne(one))
        await victim.runtime.start(OrderOne, "a", "books")
        await one.reached.wait()
        victim.kill()
        heir = await start(server, OrderTwo(two))
        await two.reached.wait()
        handle = await heir.runtime.get(OrderTwo, "a")
        await handle.cancel("no more")
        outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.compensated == ("hold",)
    assert two.keys[-1] == one.keys[0], "the compensation was given the key that the action was called with"
    assert suffixes(server, "a")[2:4] == ["migrated", "recovered"]


# -------------------------------------------------------------------- refusals


class Old(Saga[str], name="Job", version=1):
    @step(compensate=None)
    async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

    wanted = signal(int)

    @step(wanted, compensate=None)
    async def last(self, job: str, number: int, ctx: Context) -> None: ...


def _at(*events: Any) -> Record:
    plan = SagaBinding(Old()).plan
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b'"x"'), owner="w", now=0.0)
    return apply(plan, record, list(events), 1.0)


FIRST_DONE = AttemptEnded("first", 1, Complete(msgspec.Raw(b"7")))


def test_a_node_that_migrate_does_not_name_stays_as_it_is() -> None:
    class New(Saga[str], name="Job", version=2):
        @step(compensate=None)
        async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

        wanted = signal(int)

        @step(wanted, compensate=None)
        async def last(self, job: str, number: int, ctx: Context) -> None: ...

        def migrate(self, old: OldSaga) -> None:
            assert (old.version, old.steps, old.results) == (1, ["first", "wanted"], {"first": 7})

    binding = SagaBinding(New())
    before = _at(FIRST_DONE)
    after = binding.migrate(before)
    assert (after.definition_version, after.plan_digest) == (2, binding.plan.digest)
    assert after.steps == before.steps
    assert effects(binding.plan, after)


class _Counting(Saga[str], name="Job", version=2):
    @step(compensate=None)
    async def count(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

    wanted = signal(int)

    def migrate(self, old: OldSaga) -> None:
        old.names["first"] = "count"


class Refusals:
    def _refused(self, new: Saga[Any, Any], record: Record, words: str) -> None:
        before = msgspec.json.encode(record)
        with pytest.raises(CannotMigrate, match=words):
            SagaBinding(new).migrate(record)
        assert msgspec.json.encode(record) == before


class TestRefusedMigrations(Refusals):
    def test_a_missing_step_is_refused(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def other(self, job: str, ctx: Context) -> None: ...

            def migrate(self, old: OldSaga) -> None: ...

        self._refused(New(), _at(), "first has begun and is not in version 2: rename or drop it")

    def test_a_result_of_another_type_is_refused(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def first(self, job: str, ctx: Context) -> str: ...  # type: ignore[empty-body]

            wanted = signal(int)

            def migrate(self, old: OldSaga) -> None: ...

        self._refused(New(), _at(FIRST_DONE), "Expected `str`, got `int`")

    def test_an_input_of_another_type_is_refused(self) -> None:
        class New(Saga[int], name="Job", version=2):
            @step(compensate=None)
            async def first(self, job: int, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None: ...

        self._refused(New(), _at(), "Expected `int`, got `str`")

    def test_a_begun_node_with_a_new_predecessor_is_refused(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def zeroth(self, job: str, ctx: Context) -> None: ...

            @step(zeroth, compensate=None)
            async def first(self, job: str, nothing: None, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None:
                old.drop("wanted")

        self._refused(New(), _at(), "first has begun, and comes after zeroth, which is not done")

    def test_another_kind_of_node_is_refused(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            @step(compensate=None, after=())
            async def wanted(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None: ...

        self._refused(New(), _at(FIRST_DONE), "wanted is awaiting, and a step now")

    @pytest.mark.parametrize("dropped", [True, False])
    def test_p2_a_new_node_with_the_first_name_of_a_step_that_was_called_is_refused(self, dropped: bool) -> None:
        """The new node would have the keys of the old one: its participant would answer with that one's reply."""

        class New(Saga[str], name="Job", version=2):
            if not dropped:

                @step(compensate=None)
                async def count(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            wanted = signal(int)

            @step(wanted, compensate=None)
            async def first(self, job: str, number: int, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None:
                old.names["first"] = None if dropped else "count"

        self._refused(New(), _at(FIRST_DONE), "^the idempotency keys of another step.* have the name first")

    def test_p2_the_first_name_is_also_taken_some_versions_later(self) -> None:
        class New(Saga[str], name="Job", version=3):
            @step(compensate=None)
            async def sum(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            wanted = signal(int)

            @step(wanted, compensate=None)
            async def first(self, job: str, number: int, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None:
                old.names["count"] = "sum"

        record = SagaBinding(_Counting()).migrate(_at(FIRST_DONE))
        self._refused(New(), record, "have the name first")

    def test_a_step_may_have_its_first_name_again(self) -> None:
        class New(Saga[str], name="Job", version=3):
            @step(compensate=None)
            async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            wanted = signal(int)

            def migrate(self, old: OldSaga) -> None:
                old.names["count"] = "first"

        record = SagaBinding(_Counting()).migrate(_at(FIRST_DONE))
        assert set(SagaBinding(New()).migrate(record).steps) == {"first", "wanted"}

    def test_a_node_that_was_never_called_leaves_its_name_to_another(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            @step(first, compensate=None)
            async def wanted(self, job: str, number: int, ctx: Context) -> None: ...

            def migrate(self, old: OldSaga) -> None:
                old.drop("wanted")

        assert set(SagaBinding(New()).migrate(_at(FIRST_DONE)).steps) == {"first"}

    def test_an_error_of_migrate_is_refused(self) -> None:
        class New(Saga[str], name="Job", version=2):
            @step(compensate=None)
            async def first(self, job: str, ctx: Context) -> int: ...  # type: ignore[empty-body]

            def migrate(self, old: OldSaga) -> None:
                raise ZeroDivisionError("oh")

        self._refused(New(), _at(), "ZeroDivisionError")


async def test_p11_a_saga_that_cannot_be_migrated_is_reported_and_left_alone(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Never(Saga[Order], name="Order", version=3):
        @step(compensate=None)
        async def other(self, order: Order, ctx: Context) -> None: ...

        def migrate(self, old: OldSaga) -> None:
            raise ValueError("no way")

    server, pause = MemoryServer(), Pause("charge")
    async with killable() as start:
        victim = await start(server, OrderOne(pause))
        await victim.runtime.start(OrderOne, "a", "books")
        await pause.reached.wait()
        victim.kill()
        before = server.bucket("SAGA_STATE").read("Order.a")
        heir = await start(server, Never(), scan_interval=1.0)
        await trio.sleep(60)
        assert heir.worker.recovery.adopted == 0
        assert server.bucket("SAGA_STATE").read("Order.a") == before
    assert caplog.text.count("cannot be moved to version 3: migrate: ValueError('no way') at ") == 1
    assert "in migrate: left alone" in caplog.text
