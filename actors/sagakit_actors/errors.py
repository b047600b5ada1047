"""The errors of this package."""

from __future__ import annotations


class ActorError(Exception):
    """Root of this package's errors."""


class MailboxFull(ActorError):
    """The target takes no more messages now: slow down, or give it a larger mailbox."""


class ActorGone(ActorError):
    """The target has gone for good; the message was not taken."""


class ActorDied(ActorError):
    """The target's incarnation ended before it answered; what it had done is unknown. Ask again if that helps."""


class AskTimeout(ActorError):
    """No answer came in time; the target may still act on the message."""


class CallCycle(ActorError):
    """The target waits, directly or not, for the actor that asks: neither would ever go on."""


class StartFailed(ActorError):
    """A child ended before it was ready."""


class RestartIntensityExceeded(ActorError):
    """Children crashed more often than the supervisor allows; it has stopped them all."""


class TooManyChildren(ActorError):
    """The dynamic supervisor is full: wait until a child has ended."""


class StopRequested(ActorError):
    """Raised by `receive` once a stop was asked for. Let it pass: it ends the actor in good order."""
