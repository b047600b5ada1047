"""The errors of a server that cannot be used: its settings, its version, its accounts, or the URL are wrong.

Each of them is raised when a runtime is opened, and nothing was started. The operator of the server has to act.
"""

from __future__ import annotations

from sagakit.errors.error_tree import SagakitError


class ServerError(SagakitError):
    """The server cannot be used as it is; the text says which setting to change."""


class CannotConnect(ServerError):
    """The server does not answer at the URL, or refuses the credentials; the text says which.

    Start the server, correct the URL, or open the way through the firewall.
    """


class LoginRefused(CannotConnect):
    """A server answered, and refused the credentials: correct the URL or the options of the login."""


class LayoutMissing(ServerError):
    """Buckets or streams do not exist, and a client does not create them, or this account may not.

    Run `sagakit setup` once with an account that may, unless the namespace is wrong.
    """

    missing: list[str]
    """The names of the streams that do not exist."""

    def __init__(self, missing: list[str], *, looked_for: str | None = None) -> None:
        """Make the error of a worker whose account may not create, or of a client that `looked_for` a namespace."""
        if looked_for is None:
            text = (
                f"these streams do not exist, and this account may not create them: {', '.join(missing)}; run "
                "`sagakit setup` once with an account that may"
            )
        else:
            where = f"in the namespace {looked_for!r}" if looked_for else "without a namespace"
            text = (
                f"no worker has ever run on this server {where}: the stream {missing[0]} does not exist; correct the "
                "namespace or the URL, open a worker there once, or run `sagakit setup`"
            )
        super().__init__(text)
        self.missing = missing


class JobsMissing(ServerError):
    """The bucket of the jobs does not exist: an older sagakit has made the layout.

    Raised when a verb is meant for many sagas, and by whatever looks at jobs. Run `sagakit setup` once.
    """

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"the bucket {bucket}, which a verb for many sagas is written to, does not exist: an older sagakit has "
            "made the layout. Run `sagakit setup` once, with an account that may make buckets"
        )


class OtherDomain(ServerError):
    """A stream of another JetStream domain of the account stores the same messages: every saga would run once in each.

    The administrator of the servers has to act; the text has the three ways out.
    """

    subject: str
    """The subject of the question to which more than one stream answered."""
    streams: list[str]
    """The streams that answered; those of another domain have its name."""

    def __init__(self, subject: str, streams: list[str]) -> None:
        head = subject.removesuffix("sagain.who.captures")
        names = "saga sagain sagaop sagareply sagasys sagapark sagadead sagacmd sagaintake sagactl"
        denied = ", ".join(f'"{head}{name}.>"' for name in names.split())
        super().__init__(
            f"streams of another JetStream domain (of a hub or a leaf node) store the messages to {head}sagain.>: "
            f"{', '.join(streams)} answered for it, so that every saga would run once in each domain. Give the sagas "
            "of this domain their own namespace (option `namespace`), or let the workers of all domains use the "
            "streams of one (option `domain`), or keep the domains apart: in the leaf node's configuration write "
            f"`deny_imports: [{denied}]` and the same under `deny_exports`"
        )
        self.subject = subject
        self.streams = streams


class ServerTooOld(ServerError):
    """The server has no JetStream API level 1: nats-server 2.11 or newer is needed."""


class PayloadTooSmall(ServerError):
    """The server's `max_payload` leaves no room for records: raise it."""

    found: int
    """Bytes that a message may have on this server."""
    least: int
    """Bytes that sagakit needs."""

    def __init__(self, found: int, least: int) -> None:
        super().__init__(
            f"the server takes messages of {found:,} bytes at most; sagakit needs {least:,}: "
            "raise `max_payload` in the server's configuration (1 MB is its default)"
        )
        self.found = found
        self.least = least


class JetStreamOff(ServerError):
    """JetStream is disabled on the server, or for the account: enable it."""


class BadBucket(ServerError):
    """A bucket or stream exists with settings under which the promises do not hold; the text names the setting."""


class BadLayout(ServerError):
    """The key `layout` of the bucket `SAGA_META` holds no layout, because something has overwritten it.

    The text has the command that puts it back. sagakit guesses no number of shards: a wrong one would hide sagas.
    """
