"""A change of many sagas: the plan is printed, the operator agrees, and each saga gets the verb and has its verdict."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING

import msgspec
import typer

from sagakit.cli.choosing import Choice, Chosen, choice_to_change, chosen, key_of_record
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.jobs_at_work import CUT_OFF, DeleteOne, JobResult, Pace, begin, jobs_of, resume, wire_of
from sagakit.cli.json_arguments import json_of
from sagakit.cli.printing import Columns, OutputFormat, note, print_lines, shown
from sagakit.cli.session import Operate, Session
from sagakit.cli.standard_input import is_terminal
from sagakit.client.job_plan import UNDOING, item_of, plan_of_job
from sagakit.client.job_start import positions
from sagakit.client.jobs import Job, JobVerb
from sagakit.client.json_shapes import VerdictLine
from sagakit.client.trials import Answer
from sagakit.engine import Inbound, Record
from sagakit.engine.record import NOTHING
from sagakit.messages.ids import new_id
from sagakit.messages.validation import checked_message
from sagakit.store.ports import Wire

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Choosing, Looking
    from sagakit.cli.operating_only import Operating

TIMEOUT = 30.0
"""Seconds that the owner of a saga gets to answer, by default."""
VERDICT_COLUMNS: Columns = {
    "saga": lambda line: line.key,
    "verdict": lambda line: line.verdict,
    "why": lambda line: (line.why or "").removeprefix(f"{line.key}: "),
}
NEED_NO_REASON = frozenset({"signal", "delete"})
"""Commands that need no reason: a signal keeps one if it has it, and nothing would keep that of a deletion."""
LOOK = 0.02
"""Seconds between two looks at whether the operator has answered."""
TURN = 1000
"""Sagas of a plan after which other tasks have a turn."""
TAKES_A_STEP = frozenset({"complete-step", "mark-undone"})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The order of an operator: a verb, its arguments, and the words that choose the sagas."""

    verb: JobVerb
    sagas: Sequence[str] | None
    where: str | None = None
    reason: str = ""
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
        if self.verb not in NEED_NO_REASON and not self.reason.strip():
            raise UsageError(f"--reason is missing: say why you {self.verb} these sagas; their events keep it")
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
            reason=self.reason,
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
        if self.verb in NEED_NO_REASON and not (self.reason.strip() or self.by):
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
    job: Job
    """The head of the job that changes more than one saga."""
    ended: bool | None = None
    """True if ended sagas are looked for, None if the filter says which."""
    delete: DeleteOne | None = None
    """The function that deletes one saga of the job; None if the job is no deletion."""


def change(session: Session, order: Order) -> None:
    """Carry out a verb of operators. Ends the command with its exit code."""
    kind = order.verb
    assert kind != "delete", "deleting is not a message to a saga"

    def prepared() -> Operate:
        if order.resume is not None:
            return Operate(resuming(order, order.resume, session.output))
        choice, by, payload = order.checked(), order.signed(), order.raw()
        id = order.message_id or new_id()
        checked_message(Inbound(id=id, kind=kind, reason=order.reason, by=by, step=order.step, payload=payload))

        async def work(sagas: Operating) -> int:
            async def tried(record: Record) -> Answer:
                return await sagas.try_out(record, kind, step=order.step, payload=payload)

            async def done(record: Record) -> Answer:
                return await sagas.send(
                    record, kind, reason=order.reason, by=by, step=order.step, payload=payload,
                    id=order.message_id, timeout=order.timeout,
                )  # fmt: skip

            return await carry_out(sagas, order, choice, Changing(tried, done, order.job(payload, by)), session.output)

        return Operate(work)

    session.run(prepared)


def resuming(order: Order, job: str, output: OutputFormat) -> Callable[[Looking], Awaitable[int]]:
    """Return the work of going on with a job of messages. Raises UsageError for arguments that the job has itself."""
    order.check_resumed()

    async def work(sagas: Looking) -> int:
        return await resumed(sagas, order, job, output)

    return work


async def resumed(sagas: Looking, order: Order, job: str, output: OutputFormat, delete: DeleteOne | None = None) -> int:
    """Go on with a job, and print its verdicts. Return the exit code."""
    found = await resume(sagas, job, order.verb, order.step, order.signed(), order.pace, delete)
    return _ended(found, [], output)


async def carry_out(sagas: Choosing, order: Order, choice: Choice, way: Changing, output: OutputFormat) -> int:
    """Print the plan, ask, change each saga, print each verdict. Return the exit code."""
    wire = wire_of(sagas)
    since = await positions(wire, sagas.names)
    found = await chosen(sagas, choice, ended=way.ended)
    if not found.records and not found.missing:
        note("no saga fits: nothing to do")
        print_lines([], VERDICT_COLUMNS, output)
        return 0
    expected = await _expected(wire, found.records, way.tried)
    for line in await plan_text(sagas, order, found, expected):
        note(line)
    is_job = len(found.records) > 1 and not order.dry_run
    if is_job:
        await jobs_of(sagas).check()
    if order.dry_run:
        answers: Sequence[Answer] = expected
    elif found.records and not order.yes and not await agreed(wire.sleep):
        note("nothing was done")
        print_lines([], VERDICT_COLUMNS, output)
        return CommandExit.NOT_APPLIED
    elif is_job:
        items = [item_of(record, answer) for record, answer in zip(found.records, expected, strict=True)]
        missing = [_line(order, key, Answer("no such saga", why)) for key, why in found.missing]
        return _ended(await begin(sagas, way.job, items, order.pace, since, way.delete), missing, output)
    else:
        answers = [await way.done(record) for record in found.records]
    lines = _lines(order, found, answers)
    print_lines(lines, VERDICT_COLUMNS, output)
    good = not found.missing and all(answer.applied for answer in answers)
    return 0 if good else CommandExit.NOT_APPLIED


async def _expected(
    wire: Wire, records: Sequence[Record], tried: Callable[[Record], Awaitable[Answer]]
) -> list[Answer]:
    """Return the answers to expect. The connection has a turn now and then, as trying needs none by itself."""
    answers: list[Answer] = []
    for record in records:
        answers.append(await tried(record))
        if len(answers) % TURN == 0:
            await wire.sleep(0)
    return answers


def _ended(result: JobResult, missing: Sequence[VerdictLine], output: OutputFormat) -> int:
    """Print the verdicts of a job. Return the exit code."""
    lines = [*result.lines, *missing]
    print_lines(lines, VERDICT_COLUMNS, output)
    if result.is_cut_off:
        return CUT_OFF
    return 0 if result.is_done and all(line.applied for line in lines) else CommandExit.NOT_APPLIED


async def agreed(sleep: Callable[[float], Awaitable[None]]) -> bool:
    """Ask the operator. The question waits in a thread: meanwhile the connection has to answer the server's pings.

    `sleep` is that of the caller's kind of tasks.
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append(typer.confirm("go ahead?", err=True))
        except typer.Abort:  # the terminal has gone
            answers.append(False)

    asking = Thread(target=ask, daemon=True)  # a command that is cut off does not wait for it
    asking.start()
    while asking.is_alive():
        await sleep(LOOK)
    return answers == [True]


async def plan_text(sagas: Choosing, order: Order, found: Chosen, expected: Sequence[Answer]) -> Sequence[str]:
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
