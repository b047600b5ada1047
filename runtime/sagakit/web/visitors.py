"""Visitors: who sends a request, and with which role. An authentication finds that out.

Everyone("viewer")    nobody is asked; for loopback, and behind the authentication of a host application
Tokens(...)           `Authorization: Bearer TOKEN`, or Basic with the token as the password, as browsers ask for it
Proxy(...)            the header of a proxy that authenticates, from its addresses only
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

import msgspec
from starlette.requests import HTTPConnection

from sagakit.errors import InvalidConfig
from sagakit.web.addresses import comes_from, networks_of
from sagakit.web.problems import Problem

Rank: TypeAlias = Literal["viewer", "operator", "admin"]
"""The role of a visitor. Each may do what the one before it may.

A viewer looks, an operator starts, signals and mends, an admin terminates, too.
"""
RANKS: tuple[Rank, ...] = get_args(Rank)
MAX_NAME = 128
"""Characters of a visitor's name, at the most: it is kept in the events of sagas."""
MIN_TOKEN = 24
"""Characters of a token, at the least."""


class Visitor(msgspec.Struct, frozen=True):
    """The sender of a request. `known` is True if the name was authenticated: then acts are audited under it."""

    name: str
    rank: Rank = "viewer"
    known: bool = True

    def may(self, rank: Rank) -> bool:
        """Return True if the visitor has this role or a higher one."""
        return RANKS.index(self.rank) >= RANKS.index(rank)


class Authentication(Protocol):
    """A protocol: finds out who sends a request. Write one to let the users of a host application act.

    class Staff:
        challenge = ""

        def visitor(self, connection: HTTPConnection) -> Visitor | None:
            user = connection.user
            return Visitor(user.username, "operator") if user.is_staff else None
    """

    challenge: str
    """The value of `WWW-Authenticate` for visitors that are not known; empty for none."""

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return the sender of a request; None if it is not known, or not allowed in."""
        ...


class Everyone:
    """Lets everyone in, with one role. `name` is written down for acts whose sender gives no name."""

    challenge = ""

    def __init__(self, rank: Rank = "viewer", *, name: str = "") -> None:
        self._visitor = Visitor(name, checked_rank(rank), known=False)

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return the visitor that everyone is."""
        return self._visitor


class Tokens:
    """Knows visitors by their tokens. Only digests of the tokens are kept in memory."""

    challenge = 'Basic realm="sagakit", charset="UTF-8"'

    def __init__(self, visitors: Mapping[str, Visitor]) -> None:
        """Take the visitors by their tokens. Raises InvalidConfig."""
        for token, visitor in visitors.items():
            if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
                raise InvalidConfig(
                    f"the token of {visitor.name} has to have {MIN_TOKEN} characters of ASCII or more, without blanks: "
                    'make one with python -c "import secrets; print(secrets.token_urlsafe())"'
                )
            if not is_visible_name(visitor.name):
                raise InvalidConfig(f"{visitor.name!r} is not a name: 1 to {MAX_NAME} characters, all printable")
        self._visitors = {_digest(token): visitor for token, visitor in visitors.items()}

    @classmethod
    def read(cls, path: str) -> Tokens:
        """Return the tokens of a file, whose lines are NAME ROLE TOKEN; # begins a comment. Raises InvalidConfig."""
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfig(f"tokens={path!r}: the file cannot be read: {error}") from None
        found: dict[str, Visitor] = {}
        for number, line in enumerate(lines, 1):
            words = line.partition("#")[0].split()
            if words and len(words) != 3:
                raise InvalidConfig(f"{path}, line {number}: write NAME ROLE TOKEN")
            if words:
                found[words[2]] = Visitor(words[0], checked_rank(words[1]))
        if not found:
            raise InvalidConfig(f"{path} has no token: write a line for each visitor: NAME ROLE TOKEN")
        return cls(found)

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return the visitor whose token comes with the request."""
        scheme, _, value = connection.headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "bearer":
                return self._visitors.get(_digest(value.strip()))
            case "basic":
                name, token = _basic(value)
                found = self._visitors.get(_digest(token))
                return found if found is not None and name in ("", found.name) else None
        return None


class Proxy:
    """Believes the header of a proxy that authenticates, if the request comes from one of its addresses.

    `addresses` are networks such as 10.0.0.0/8. With `rank_header` the proxy says the role, too; without it, and for
    other values, the role is `rank`. The proxy has to remove both headers from what it gets itself.
    """

    challenge = ""

    def __init__(
        self, *, header: str, addresses: Sequence[str], rank: Rank = "viewer", rank_header: str | None = None
    ) -> None:
        if not addresses:
            raise InvalidConfig(f"from which addresses may {header} come? Name the networks of the proxy")
        self._networks = networks_of(addresses)
        self._header = header
        self._rank: Rank = checked_rank(rank)
        self._rank_header = rank_header

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return the visitor whom the proxy has named."""
        if not comes_from(connection, self._networks):
            return None
        names = connection.headers.getlist(self._header)
        if len(names) != 1 or not is_visible_name(names[0]):
            return None
        said = "" if self._rank_header is None else connection.headers.get(self._rank_header, "")
        return Visitor(names[0], checked_rank(said) if said in RANKS else self._rank)


def checked_rank(rank: str) -> Rank:
    """Return a role if there is one of this name. Raises InvalidConfig."""
    for one in RANKS:
        if one == rank:
            return one
    raise InvalidConfig(f"{rank!r} is not a role: write {', '.join(RANKS)}")


def check_may(visitor: Visitor, rank: Rank, *, read_only: bool) -> None:
    """Raise Problem unless the visitor may do what takes this role."""
    if not visitor.may(rank):
        who = f"{visitor.name} is" if visitor.name else "you are"
        raise Problem(403, "NotAllowedHere", f"this takes the role {rank}, and {who} {visitor.rank} here")
    if read_only and rank != "viewer":
        raise Problem(403, "ReadOnly", "this console only looks: its app was made with read_only=True")


def is_visible_name(name: str) -> bool:
    """Return True if a name may be written down in events."""
    return 0 < len(name) <= MAX_NAME and name.isprintable() and bool(name.strip())


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _, token = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, token
