"""The exit codes of the commands, after sysexits.h. A process supervisor of `sagakit worker` decides by them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from logging import Logger

from sagakit.cli.standard_output import OutputError
from sagakit.errors import codes_of


class UsageError(Exception):
    """The command line is wrong; the text says what to write."""


class CommandExit(IntEnum):
    """An exit code of a command. docs/worker.md lists those of a worker, docs/cli.md those of the operator commands."""

    meaning: str
    """Meaning of the code, for the documentation."""
    restart: bool
    """True if starting the worker again, unchanged, may help."""

    def __new__(cls, code: int, meaning: str, restart: bool) -> CommandExit:
        """Make a member with its meaning and its advice for supervisors."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.restart = restart
        return member

    DRAINED = 0, "a signal came, and the worker drained", False
    NOT_APPLIED = (
        1,
        "an operator command has no effect on some of the sagas, a check of `doctor` is bad, a participant breaks "
        "a clause, records and events differ, or a contract breaks somebody; never from a worker",
        True,
    )
    USAGE = 2, "the command line is wrong: an unknown option, no such module, no sagas in it", False
    DEFINITION = 65, "a saga's definition is wrong, or its plan or types have changed under the same version", False
    UNKNOWN_SAGA = 66, "an operator command names a saga that is not stored; never from a worker", True
    UNAVAILABLE = 69, "no NATS server answers, or the store is away", True
    CRASH = 70, "anything else: a bug, in a saga's module or in sagakit; the log has the traceback", True
    OUTPUT = 74, "the output of an operator command cannot be written, as on a full disk; never from a worker", True
    SERVER = 76, "the server answers and cannot be used: too old, no JetStream, a bucket missing or made wrong", False
    NOT_PERMITTED = 77, "the server refuses the credentials, or the account a subject", False
    CONFIG = (
        78,
        "an option of the worker or of the server is out of bounds, or a file that it names cannot be read",
        False,
    )


def exit_of(error: BaseException) -> CommandExit:
    """Return the exit code of an operator command for an error. A group of several errors is a crash."""
    if isinstance(error, UsageError):
        return CommandExit.USAGE
    if isinstance(error, OutputError):
        return CommandExit.OUTPUT
    codes = codes_of(error)
    return CommandExit.CRASH if codes is None else next(one for one in CommandExit if one == codes.exit)


def failed(error: BaseException, log: Logger) -> CommandExit:
    """Write the error that has ended a process into its log, and return its exit code."""
    code = exit_of(error)
    told = error if code is CommandExit.CRASH else None
    log.critical("%s", error if str(error) else type(error).__name__, exc_info=told, extra={"exit": int(code)})
    return code


def worker_exit_of(error: BaseException) -> CommandExit:
    """Return the exit code of a worker for an error: a wrong call is a bug there, in a saga's module or in sagakit."""
    code = exit_of(error)
    is_call = code in (CommandExit.USAGE, CommandExit.UNKNOWN_SAGA) and not isinstance(error, UsageError)
    return CommandExit.CRASH if is_call or code is CommandExit.OUTPUT else code


def exit_of_process(returncode: int) -> CommandExit:
    """Return the exit code that tells how a worker process ended; a signal or a code of Python's own is a crash."""
    of_workers = set(CommandExit) - {CommandExit.NOT_APPLIED, CommandExit.UNKNOWN_SAGA, CommandExit.OUTPUT}
    return next((code for code in of_workers if code == returncode), CommandExit.CRASH)


def worst_exit(codes: Iterable[CommandExit]) -> CommandExit:
    """Return the worst code: first those that forbid another start, then a crash, then the others."""
    return max(codes, key=lambda code: (code and not code.restart, code), default=CommandExit.DRAINED)
