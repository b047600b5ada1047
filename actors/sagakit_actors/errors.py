"""The errors of this package: each one is an `ActorError`."""

from __future__ import annotations


class ActorError(Exception):
    """Root of this package's errors."""


class MailboxFull(ActorError):
    """The target's mailbox is full and the message was not taken, or was dropped. Send less, or raise `capacity`."""


class ActorGone(ActorError):
    """The target has gone for good, so the message was not taken. Get a new `Ref` from its supervisor."""


class ActorDied(ActorError):
    """The target's incarnation ended before it answered. The work may be done, in part or not at all.

    Ask again if the message may be handled twice.
    """


class AskTimeout(ActorError):
    """The target did not answer within the timeout. It may still act on the message."""


class CallCycle(ActorError):
    """The target waits, directly or through others, for the actor that asks it: both would wait forever.

    Ask from a side task (`ctx.nursery`), or send a message instead of asking.
    """


class StartFailed(ActorError):
    """A child ended before it was ready."""


class RestartIntensityExceeded(ActorError):
    """A child crashed more often than its supervisor allows. `__cause__` is the last crash.

    A `Supervisor` stops all its children and raises this. A `DynamicSupervisor` gives up that child only.
    """


class TooManyChildren(ActorError):
    """The dynamic supervisor has `max_children` children. Start the child after another one has ended."""


class StopRequested(ActorError):
    """A stop was requested. `receive` raises this; let it pass, and the actor ends in good order."""
