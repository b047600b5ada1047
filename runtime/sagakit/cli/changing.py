"""A change of many sagas: the plan is printed, the operator agrees, and each saga gets the verb and has its verdict."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
import trio
import typer

from sagakit.cli.choosing import AT_ONCE, Choice, Chosen, choice_to_change, chosen, key_of_record
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.jobs_at_work import CUT_OFF, JobResult, Pace, begin, jobs_of, positions, resume
from sagakit.cli.json_arguments import json_of
from sagakit.cli.printing import Columns, OutputFormat, note, print_lines, shown
from sagakit.cli.session import Session, Work
from sagakit.cli.standard_input import is_terminal
from sagakit.client.by_key import PlainAccess, check_message
from sagakit.client.job_plan import UNDOING, item_of, plan_of_job
from sagakit.client.jobs import Job, JobVerb
from sagakit.client.json_shapes import VerdictLine
from sagakit.client.trials import Answer
from sagakit.engine import Record
from sagakit.engine.record import NOTHING
from sagakit.errors import SagakitError

TIMEOUT = 30.0
"""Seconds that the owner of a saga gets to answer, by default."""
VERDICT_COLUMNS: Columns = {
    "saga": lambda line: line.key,
    "verdict": lambda line: line.verdict,
    "why": lambda line: (line.why or "").removeprefix(f"{line.key}: "),
}
NEED_NO_REASON = frozenset({"signal", "delete"})
"""Commands that need no reason: a signal keeps one if it has it, and nothing would keep that of a deletion."""
TURN = 1000
"""Sagas of a plan after which other tasks have a turn."""
TAKES_A_STEP = frozenset({"complete-step", "mark-undone"})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The order of an operator: a verb, its arguments, and the words that choose the sagas."""

    verb: JobVerb
    sagas: Sequence[str] | None
    where: str | None = None
    why: str = ""
    by: str | None = None
    yes: bool = False
    dry_run: bool = False
    timeout: float = TIMEOUT
    step: str = ""
    payload: str | None = None
    message_id: str | None = None
    rate: float | None = None
    report: str | None = None
    resume: str | None = None

    def checked(self) -> Choice:
        """Return the choice of sagas. Raises UsageError unless the order can be carried out, or asked about."""
        self.pace.check()
        if self.verb not in NEED_NO_REASON and not self.why.strip():
            raise UsageError(f"--why is missing: say why you {self.verb} these sagas; their events keep it")
        if self.verb in TAKES_A_STEP and not self.step:
            raise UsageError(f"--step is missing: {self.verb} is about one step; `sagakit describe` shows the steps")
        choice = choice_to_change(self.sagas, self.where)
        if not (self.yes or self.dry_run or is_terminal()):
            raise UsageError(
                f"{self.verb} asks before it changes sagas, and there is no terminal here: --yes goes ahead, --dry-run "
                "shows the plan"
            )
        return choice

    @property
    def pace(self) -> Pace:
        """The way in which a job of this order is run."""
        return Pace(rate=self.rate, timeout=self.timeout, report=self.report)

    def check_resumed(self) -> None:
        """Raise UsageError unless the order goes on with a job and says nothing that the job says itself."""
        self.pace.check()
        if self.sagas or self.where is not None or self.dry_run:
            raise UsageError("--resume goes on with the sagas of its job: leave out keys, --where and --dry-run")

    def job(self, payload: msgspec.Raw, by: str) -> Job:
        """Return the head of the job that gives many sagas this verb."""
        return Job(
            id="",
            verb=self.verb,
            step=self.step,
            payload=payload,
            reason=self.why,
            by=by,
            message_id=self.message_id or "",
            created=0.0,
            sagas=0,
            pages=0,
        )

    def raw(self) -> msgspec.Raw:
        """Return the payload as JSON. Raises UsageError."""
        return NOTHING if self.payload is None else json_of(self.payload)

    def signed(self) -> str:
        """Return the name for the audit; empty where nothing is audited. Raises UsageError."""
        if self.verb in NEED_NO_REASON and not (self.why.strip() or self.by):
            return ""
        return name_of(self.by)


def name_of(by: str | None) -> str:
    """Return the operator's name: the one that was given, or that of the login. Raises UsageError."""
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("--by is missing: your login has no name") from None


class Changing(msgspec.Struct, frozen=True):
    """A way to change one saga: `tried` returns the answer to expect, `done` the answer once it is changed."""

    tried: Callable[[Record], Awaitable[Answer]]
    done: Callable[[Record], Awaitable[Answer]]
    ended: bool | None = None
    """True if ended sagas are looked for, None if the filter says which."""
    job: Job | None = None
    """The head of the job that changes more than one saga; None if each is changed by `done`."""


def change(session: Session, order: Order) -> None:
    """Carry out a verb of operators. Ends the command with its exit code."""
    kind = order.verb
    assert kind != "delete", "deleting is not a message to a saga"

    def prepared() -> Work:
        if order.resume is not None:
            return resuming(order, order.resume, session.output)
        choice, by, payload = order.checked(), order.signed(), order.raw()
        check_message(kind, reason=order.why, by=by, step=order.step, payload=payload, id=order.message_id)

        async def work(sagas: PlainAccess) -> int:
            async def tried(record: Record) -> Answer:
                return await sagas.try_out(record, kind, step=order.step, payload=payload)

            async def done(record: Record) -> Answer:
                return await sagas.send(
                    record, kind, reason=order.why, by=by, step=order.step, payload=payload,
                    id=order.message_id, timeout=order.timeout,
                )  # fmt: skip

            way = Changing(tried, done, job=None if sagas.wire is None else order.job(payload, by))
            return await carry_out(sagas, order, choice, way, session.output)

        return work

    session.run(prepared)


def resuming(order: Order, job: str, output: OutputFormat) -> Work:
    """Return the work of going on with a job. Raises UsageError for arguments that the job has itself."""
    order.check_resumed()
    return partial(_resume, order, job, output)


async def _resume(order: Order, job: str, output: OutputFormat, sagas: PlainAccess) -> int:
    return _ended(await resume(sagas, job, order.verb, order.step, order.signed(), order.pace), [], output)


async def carry_out(sagas: PlainAccess, order: Order, choice: Choice, way: Changing, output: OutputFormat) -> int:
    """Print the plan, ask, change each saga, print each verdict. Return the exit code."""
    since = {} if way.job is None else await positions(sagas)
    found = await chosen(sagas, choice, ended=way.ended)
    if not found.records and not found.missing:
        note("no saga fits: nothing to do")
        print_lines([], VERDICT_COLUMNS, output)
        return 0
    expected = await _expected(found.records, way.tried)
    for line in await plan_text(sagas, order, found, expected):
        note(line)
    job = way.job if len(found.records) > 1 and not order.dry_run else None
    if job is not None:
        await jobs_of(sagas).check()
    errors: list[SagakitError] = []
    if order.dry_run:
        answers = expected
    elif found.records and not order.yes and not await agreed():
        note("nothing was done")
        print_lines([], VERDICT_COLUMNS, output)
        return CommandExit.NOT_APPLIED
    elif job is not None:
        items = [item_of(record, answer) for record, answer in zip(found.records, expected, strict=True)]
        missing = [_line(order, key, Answer("no such saga", why)) for key, why in found.missing]
        return _ended(await begin(sagas, job, items, order.pace, since), missing, output)
    else:
        answers = await _each(found.records, way.done, errors)
    if errors and len(errors) == len(found.records):  # nothing was changed, so the error is the whole answer
        raise errors[0]
    lines = _lines(order, found, answers)
    print_lines(lines, VERDICT_COLUMNS, output)
    good = not found.missing and all(answer.applied for answer in answers)
    return 0 if good else CommandExit.NOT_APPLIED


async def _expected(records: Sequence[Record], tried: Callable[[Record], Awaitable[Answer]]) -> list[Answer]:
    """Return the answers to expect. The connection has a turn now and then, as trying needs none by itself."""
    answers: list[Answer] = []
    for record in records:
        answers.append(await tried(record))
        if len(answers) % TURN == 0:
            await trio.lowlevel.checkpoint()
    return answers


def _ended(result: JobResult, missing: Sequence[VerdictLine], output: OutputFormat) -> int:
    """Print the verdicts of a job. Return the exit code."""
    lines = [*result.lines, *missing]
    print_lines(lines, VERDICT_COLUMNS, output)
    if result.is_cut_off:
        return CUT_OFF
    return 0 if result.is_done and all(line.applied for line in lines) else CommandExit.NOT_APPLIED


async def agreed() -> bool:
    """Ask the operator. The question waits in a thread: meanwhile the connection has to answer the server's pings."""
    try:
        return await trio.to_thread.run_sync(lambda: typer.confirm("go ahead?", err=True), abandon_on_cancel=True)
    except typer.Abort:  # the terminal has gone
        return False


async def _each(
    records: Sequence[Record], done: Callable[[Record], Awaitable[Answer]], errors: list[SagakitError]
) -> list[Answer]:
    """Change each saga. An error of one is its answer, and is added to `errors`; the others go on."""
    answers: dict[int, Answer] = {}
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int, record: Record) -> None:
        async with limit:
            try:
                answers[number] = await done(record)
            except SagakitError as error:
                errors.append(error)
                answers[number] = Answer("error", str(error))

    async with trio.open_nursery() as nursery:
        for number, record in enumerate(records):
            nursery.start_soon(one, number, record)
    return [answers[number] for number in range(len(records))]


async def plan_text(sagas: PlainAccess, order: Order, found: Chosen, expected: Sequence[Answer]) -> Sequence[str]:
    """Return the lines of the plan: the sagas by type and status, the verdicts to expect, the steps to be undone."""
    plan = await plan_of_job(order.verb, found.records, expected, sagas.plan_of)
    step = f" {order.step}" if order.step else ""
    lines = [f"{order.verb}{step}: {_number(len(found.records))}"]
    lines += [f"  {number:,} {type}, {status}" for (type, status), number in sorted(plan.sagas.items())]
    verdicts = ", ".join(f"{verdict} {number:,}" for verdict, number in plan.verdicts.most_common())
    lines.append(f"verdicts to expect: {verdicts}")
    if order.verb in UNDOING:
        steps = ", ".join(f"{name} {number:,}" for name, number in plan.undone.most_common())
        lines.append(f"compensations to run: {steps or 'none'}")
    if found.missing:
        lines.append(f"not readable, or not stored: {len(found.missing):,}")
    return [shown(line) for line in lines]


def _number(count: int) -> str:
    return "1 saga" if count == 1 else f"{count:,} sagas"


def _lines(order: Order, found: Chosen, answers: Sequence[Answer]) -> list[VerdictLine]:
    lines = [_line(order, key_of_record(record), answer) for record, answer in zip(found.records, answers, strict=True)]
    return lines + [_line(order, key, Answer("no such saga", why)) for key, why in found.missing]


def _line(order: Order, key: str, answer: Answer) -> VerdictLine:
    return VerdictLine(
        key=key,
        verb=order.verb,
        verdict=answer.verdict,
        applied=answer.applied and not order.dry_run,
        why=answer.refusal or None,
        dry_run=order.dry_run,
    )
