"""`Service`: a service that does steps of sagas which run elsewhere, and its endpoints, by decorators."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeAlias

import msgspec
from typing_extensions import TypeVar

from sagakit.definition.annotations import signature_of
from sagakit.definition.step_answers import Done, NotDone
from sagakit.definition.value_codec import Codec
from sagakit.errors import DefinitionError
from sagakit.naming import check_name
from sagakit.participant.work_signs import WorkSigns

Q = TypeVar("Q")
R = TypeVar("R")
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII)
"""A semantic version, as NATS micro wants it."""


class CommandContext(msgspec.Struct, frozen=True, kw_only=True):
    """A command, as its handler sees it.

    `key` is the idempotency key of the action, `undo` and `check` get the same. `transaction` is the one in which the
    key is kept, such as a database connection; None where there is none. `deadline` is when the saga stops waiting for
    the reply at first. `trace` is the context of the saga's trace, such as `traceparent`.
    """

    key: str
    run: str
    attempt: int
    deadline: datetime
    transaction: Any
    trace: dict[str, str]
    signs: WorkSigns | None = None

    def heartbeat(self) -> None:
        """Tell the saga that the work goes on, within a second, if the saga asks for heartbeats. For any thread.

        While the handler waits for something, this is done without it. So it is for work that keeps the event loop
        busy for long, between two parts of it.
        """
        if self.signs is not None:
            self.signs.beat()

    def progress(self, value: object) -> None:
        """Tell the saga how far the work has come, as a small JSON value, such as `0.4` or `{"pages": 12}`.

        People see the last one in the saga's description while the work goes on; the saga's course does not depend on
        it. The first one is told within a second, then one every 5 seconds, of several the last. For any thread. Raises
        InvalidInput for what is not JSON, or has more than 4 KiB.
        """
        if self.signs is not None:
            self.signs.progress(value)


WorkHandler: TypeAlias = Callable[[Q, CommandContext], Awaitable[R]]
"""Does the work of a command, and returns its result."""
UndoHandler: TypeAlias = Callable[[Q, R, CommandContext], Awaitable[None]]
"""Undoes the work of a command that had this result."""
CheckHandler: TypeAlias = Callable[[Q, CommandContext], Awaitable[Done[R] | NotDone | None]]
"""Says whether the work of a command was done; None if it does not know now."""


class ServiceEndpoint(Generic[Q, R]):
    """An action, with its undo and its check. Made by `Service.endpoint`."""

    def __init__(self, service: str, name: str, fn: WorkHandler[Q, R]) -> None:
        where = f"{service}.{name}"
        self.name: str = check_name(name, what="the endpoint")
        self.service: str = service
        self.fn: Callable[..., Any] = _async(fn, where)
        command, _ = _two(signature_of(_bound(fn), {}, where=where).parameters, where)
        self.command: Codec = _codec(command, f"{where}: its command")
        self.result: Codec = _codec(signature_of(_bound(fn), {}, where=where).returns, f"{where}: its result")
        self.undo_name = ""
        self.undo_fn: Callable[[Any, Any, CommandContext], Awaitable[None]] | None = None
        self.check_name = ""
        self.check_fn: Callable[[Any, CommandContext], Awaitable[Any]] | None = None

    def undo(self, name: str, /) -> Callable[[UndoHandler[Q, R]], Any]:
        """Make a function this endpoint's undo, at an endpoint of its own. It is called with command, result and ctx.

        If keys are kept in the transaction of the work, it is called only for what was done, and once. If not, it is
        also called with None for what may never have happened. Afterwards nothing is done under the key any more.
        """

        def made(fn: UndoHandler[Q, R]) -> Any:
            self.undo_name, self.undo_fn = check_name(name, what="the endpoint"), _async(fn, f"{self.service}.{name}")
            return fn

        return made

    def check(self, name: str, /) -> Callable[[CheckHandler[Q, R]], Any]:
        """Make a function this endpoint's check, for keys that are not kept in the transaction of the work.

        It says whether the action has happened under `ctx.key`. None means "unknown now".
        """

        def made(fn: CheckHandler[Q, R]) -> Any:
            self.check_name, self.check_fn = check_name(name, what="the endpoint"), _async(fn, f"{self.service}.{name}")
            return fn

        return made


class Service:
    """A service, with its endpoints.

        payments = Service("payments")

        @payments.endpoint("charge")
        async def charge(order: Charge, ctx: CommandContext) -> Receipt: ...

        @charge.undo("refund")
        async def refund(order: Charge, receipt: Receipt, ctx: CommandContext) -> None: ...

    A handler returns the result. It raises `Reject` for a business refusal, and `Retry`; after any other exception the
    outcome is unknown, and the saga's policy decides. `nats micro` shows `version`, as in `1.4.0`, and `description`.
    Raises DefinitionError, InvalidName.
    """

    def __init__(self, service: str, *, version: str = "1.0.0", description: str = "") -> None:
        self.service: str = check_name(service, what="the service")
        if not _VERSION.fullmatch(version):
            raise DefinitionError(
                f"{service}: version={version!r}: write three numbers, such as '1.4.0' or '2.0.0-rc1'"
            )
        self.version: str = version
        self.description: str = description
        self.endpoints: list[ServiceEndpoint[Any, Any]] = []

    def endpoint(self, name: str, /) -> Callable[[WorkHandler[Q, R]], ServiceEndpoint[Q, R]]:
        """Make a function the action of an endpoint. It is called with the command and its `CommandContext`."""

        def made(fn: WorkHandler[Q, R]) -> ServiceEndpoint[Q, R]:
            endpoint = ServiceEndpoint[Q, R](self.service, name, fn)
            self.endpoints.append(endpoint)
            return endpoint

        return made


def _async(fn: Callable[..., Any], where: str) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(fn):
        raise DefinitionError(f"{where}: write it with `async def`: blocking code goes into a thread of your own")
    return fn


def _bound(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with a first parameter before those of `fn`, as `signature_of` expects it."""

    def bound(self: Any, *args: Any) -> Any: ...

    own = inspect.signature(fn)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    rest = [one.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for one in own.parameters.values()]
    bound.__signature__ = own.replace(parameters=[first, *rest])  # type: ignore[attr-defined]  # as inspect documents
    bound.__annotations__ = inspect.get_annotations(fn, eval_str=True)
    return bound


def _two(parameters: list[tuple[str, Any]], where: str) -> tuple[Any, Any]:
    if len(parameters) != 2:
        raise DefinitionError(f"{where}: takes {len(parameters)} parameters; it is called with the command and ctx")
    return parameters[0][1], parameters[1][1]


def _codec(type: Any, what: str) -> Codec:
    try:
        return Codec(type, what)
    except TypeError as error:
        raise DefinitionError(f"{what}: cannot be kept as JSON: {error}") from None
