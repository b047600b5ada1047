"""The factory of steps that another service does, and their nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, overload

from typing_extensions import TypeVar

from sagakit.definition.context import Context
from sagakit.definition.decorators import DEFAULT_RETRY, DEFAULT_TIMEOUT
from sagakit.definition.nodes import Node
from sagakit.definition.options import knows_its_options, several
from sagakit.definition.plan import Endpoints, OnUnknown, Position
from sagakit.definition.policy import UNDO_POLICY, RetryPolicy

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\.[A-Za-z][A-Za-z0-9_-]{0,63}")
"""The form of an endpoint: the name of a service, a dot, and a name within it."""


SHORTEST_HEARTBEAT = timedelta(seconds=3)
"""The shortest time after which silence of a participant may count: it looks once a second at what it has to tell."""
_NO_UNDO = 'has no compensation: say compensate="SERVICE.ENDPOINT", or compensate=None if there is nothing to undo'


class Remote(Node[R_co], Generic[R_co]):
    """A step that a participant does: another service, in any language. Its reply is the node's result."""

    word = "Remote"

    def __init__(
        self,
        endpoints: Endpoints,
        reply: Any,
        send: Callable[[Any, Context], Any],
        *,
        no_undo: bool,
        on_unknown: OnUnknown,
        retry: RetryPolicy,
        undo_retry: RetryPolicy,
        timeout: timedelta,
        after: tuple[Any, ...] | None,
        when: Callable[[Any, Context], bool] | None,
        pivot: bool,
        heartbeat_timeout: timedelta | None = None,
    ) -> None:
        super().__init__(after=after, when=when, pivot=pivot)
        self.endpoints = endpoints
        self.reply: Any = reply
        self.send: Callable[[Any, Context], Any] = send
        self.no_undo = no_undo
        self.on_unknown: OnUnknown = on_unknown
        self.retry = retry
        self.undo_retry = undo_retry
        self.timeout = timeout
        self.heartbeat_timeout = heartbeat_timeout


def fault_of_remote(remote: Remote[Any], position: Position) -> str | None:
    """Return what is wrong with the endpoints of a remote step at its place before or after the pivot, in words."""
    ends = remote.endpoints
    for option, endpoint in (("", ends.do), ("compensate=", ends.undo), ("check=", ends.check)):
        left_out = endpoint == "" and option != ""
        if not left_out and not (isinstance(endpoint, str) and ENDPOINT.fullmatch(endpoint)):
            return f"{option}{endpoint!r}: say the service and its endpoint, such as 'payments.charge'"
    if isinstance(remote.heartbeat_timeout, timedelta) and remote.heartbeat_timeout < SHORTEST_HEARTBEAT:
        return f"heartbeat_timeout={remote.heartbeat_timeout}: say at least {SHORTEST_HEARTBEAT.seconds} seconds"
    if (remote.on_unknown == "check") != bool(ends.check):
        return 'on_unknown="check" and check="SERVICE.ENDPOINT" belong together: say both'
    if position == "before":
        return None if ends.undo or remote.no_undo else _NO_UNDO
    if ends.undo:
        return "has a compensation, but from the pivot on nothing is undone: remove it"
    return 'on_unknown="undo", but from the pivot on nothing is undone' if remote.on_unknown == "undo" else None


class MaybeRemote(Remote[R_co | None], Generic[R_co]):
    """A remote step with a condition: its result is None if it is skipped."""


@overload
def remote(
    endpoint: str,
    reply: type[R],
    /,
    *,
    send: Callable[[Any, Context], object],
    compensate: str | None = ...,
    check: str = ...,
    on_unknown: OnUnknown = ...,
    retry: RetryPolicy = ...,
    undo_retry: RetryPolicy = ...,
    timeout: timedelta = ...,
    heartbeat_timeout: timedelta | None = ...,
    after: Sequence[Node[Any]] | None = ...,
    pivot: bool = ...,
) -> Remote[R]: ...
@overload
def remote(
    endpoint: str,
    reply: type[R],
    /,
    *,
    send: Callable[[Any, Context], object],
    when: Callable[[Any, Context], bool],
    compensate: str | None = ...,
    check: str = ...,
    on_unknown: OnUnknown = ...,
    retry: RetryPolicy = ...,
    undo_retry: RetryPolicy = ...,
    timeout: timedelta = ...,
    heartbeat_timeout: timedelta | None = ...,
    after: Sequence[Node[Any]] | None = ...,
    pivot: bool = ...,
) -> MaybeRemote[R]: ...
@knows_its_options
def remote(
    endpoint: str,
    reply: Any,
    /,
    *,
    send: Callable[[Any, Context], object],
    compensate: Any = ...,
    check: str = "",
    on_unknown: OnUnknown = "retry",
    retry: RetryPolicy = DEFAULT_RETRY,
    undo_retry: RetryPolicy = UNDO_POLICY,
    timeout: timedelta = DEFAULT_TIMEOUT,
    heartbeat_timeout: timedelta | None = None,
    after: Sequence[Node[Any]] | None = None,
    when: Callable[[Any, Context], bool] | None = None,
    pivot: bool = False,
) -> Remote[Any]:
    """Have a participant do a step: a service that takes commands at `endpoint`, such as `payments.charge`.

    `send(input, ctx)`, which has no effects, makes the payload of the command; `reply` is the type of the result. The
    participant undoes the step at the endpoint `compensate`; None says that there is nothing to undo. `check` is an
    endpoint that says whether the step has happened, for `on_unknown="check"`. `timeout` is how long the reply to one
    command is awaited. The attempt survives its worker: only the participant can end it, or the time. With
    `heartbeat_timeout` the participant shows that it lives while it works; if it falls silent for that long, the
    attempt ends as if `timeout` were over.

    Other options are as for `step`; `undo_retry` is the retry policy of the compensation. Raises DefinitionError when
    the class is created.

    ```python
    charge = remote(
        "payments.charge", Receipt, send=lambda order, ctx: Charge(order.total), compensate="payments.refund"
    )
    ```
    """
    kind: Callable[..., Remote[Any]] = Remote if when is None else MaybeRemote
    undo = "" if compensate is None or compensate is ... else compensate
    return kind(
        Endpoints(do=endpoint, undo=undo, check=check),
        reply,
        send,
        no_undo=compensate is None,
        on_unknown=on_unknown,
        retry=retry,
        undo_retry=undo_retry,
        timeout=timeout,
        heartbeat_timeout=heartbeat_timeout,
        after=several(after, "after"),
        when=when,
        pivot=pivot,
    )
