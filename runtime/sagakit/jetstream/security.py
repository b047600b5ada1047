"""The credentials and the TLS of a connection, checked before the first packet."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
import nats.errors

from sagakit.errors import InvalidConfig


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """At most one way to log in. `credentials` and `nkeys_seed` are paths, read again at each reconnect."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials: str | None = None
    nkeys_seed: str | None = None

    def __str__(self) -> str:
        """Return who logs in, without any secret."""
        if self.user is not None:
            return f"the credentials of user {self.user!r}"
        if self.token is not None:
            return "the credentials, which are a token"
        for name in ("credentials", "nkeys_seed"):
            if (path := getattr(self, name)) is not None:
                return f"the credentials in {name}={path!r}"
        return "a login without credentials (none was given: set user and password, a token, credentials or an nkey)"

    def options(self) -> dict[str, Any]:
        """Return the credentials as nats-py takes them. Raises InvalidConfig."""
        ways = [name for name in ("user", "token", "credentials", "nkeys_seed") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise InvalidConfig(f"{' and '.join(ways)} are given: log in one way, and take the others out")
        if (self.user is None) != (self.password is None):
            given, missing = ("user", "password") if self.password is None else ("password", "user")
            raise InvalidConfig(f"{given} is given without {missing}")
        if self.credentials is not None:
            file = CredentialsFile(self.credentials)
            _check_file("credentials", self.credentials, lambda: file.sign(""), file.jwt)
            return {"user_jwt_cb": file.jwt, "signature_cb": file.sign}
        if self.nkeys_seed is not None:
            seed = self.nkeys_seed
            _check_file("nkeys_seed", seed, lambda: _key_pair(Path(seed).read_bytes()))
        return dict(_given(self))


class CredentialsFile:
    """A user's JWT and seed, as `nsc` writes them; read at each connect, so that a renewed file is taken by itself.

    nats-py's own reader loops forever over a file without a JWT, such as one that is being replaced.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def jwt(self) -> bytearray:
        """Return the user's JWT. Raises nats.errors.Error, OSError."""
        return bytearray(self._block(b"NATS USER JWT"))

    def sign(self, nonce: str) -> bytes:
        """Return the signature of the server's nonce. Raises nats.errors.Error, OSError."""
        return b64encode(_key_pair(self._block(b"USER NKEY SEED")).sign(nonce.encode()))

    def _block(self, name: bytes) -> bytes:
        found = re.search(rb"-+BEGIN " + name + rb"-+\s+(\S+)\s+-+END", self._path.read_bytes())
        if found is None:
            raise nats.errors.Error(f"{self._path} has no block {name.decode()}")
        return found[1]


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of PEM files. With any of them, or `first`, a connection without TLS is refused, whatever the URL says."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    first: bool = False

    @property
    def wanted(self) -> bool:
        """True if the options alone ask for TLS."""
        return self != Tls()

    def context(self) -> ssl.SSLContext:
        """Return a context that verifies the server by `ca`, or by the system's authorities. Raises InvalidConfig."""
        for name, path in (("tls_ca", self.ca), ("tls_cert", self.cert), ("tls_key", self.key)):
            if path is not None:
                _readable(name, path)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise InvalidConfig(f"tls_ca={self.ca!r} holds no certificate in PEM format: {error}") from None
        if self.key is not None and self.cert is None:
            raise InvalidConfig("tls_key is given without tls_cert")
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except ssl.SSLError as error:
                raise InvalidConfig(
                    f"tls_cert={self.cert!r} and tls_key={self.key!r} are not a certificate and its key in PEM format "
                    f"(without tls_key, the certificate's file holds both): {error}"
                ) from None
        return context


def servers_of(url: str) -> tuple[tuple[str, ...], Identity]:
    """Return the servers of `nats://user:password@a,b,c`, and the identity in the URL. Raises InvalidConfig.

    The servers come without the credentials. So these hold for every server, also for one that the cluster names later,
    and no message shows them. A server without a scheme has that of the first server.
    """
    scheme = url.partition("://")[0]
    servers: list[str] = []
    found: set[Identity] = set()
    for one in (part.strip() for part in url.split(",")):
        split = urlsplit(one if "://" in one else f"{scheme}://{one}")
        shown = "a part of the URL, not shown for its credentials," if "@" in url else repr(one)
        if not split.hostname or " " in split.netloc or split.username == "" or _port_is_wrong(split):
            raise InvalidConfig(
                f"{shown} is no server's address: write nats://host:port, several with commas; in a "
                "user or password, write , as %2C, @ as %40, / as %2F, : as %3A, ? as %3F and # as %23"
            )
        if split.path not in ("", "/") or split.query or split.fragment:
            raise InvalidConfig(
                f"{shown} has more than host and port, which would mean nothing: write nats://host:port; to keep "
                "services apart use namespace="
            )
        if split.username is not None:
            found.add(_identity(split))
        servers.append(f"{split.scheme}://{split.netloc.rpartition('@')[2]}")
    if len(found) > 1:
        raise InvalidConfig("the servers of the URL have different credentials: one connection has one identity")
    return tuple(servers), found.pop() if found else Identity()


def merged(of_url: Identity, of_options: Identity) -> Identity:
    """Return the identity of the URL or of the options. Raises InvalidConfig if both have one."""
    if of_url != Identity() and of_options != Identity():
        raise InvalidConfig(
            f"there are credentials in the URL and in {', '.join(_given(of_options))}: remove one of them"
        )
    return of_url if of_url != Identity() else of_options


def _identity(split: SplitResult) -> Identity:
    assert split.username is not None
    user = unquote(split.username)
    return Identity(token=user) if split.password is None else Identity(user=user, password=unquote(split.password))


def _port_is_wrong(split: SplitResult) -> bool:
    try:
        return split.port == 0
    except ValueError:
        return True


def _given(identity: Identity) -> Mapping[str, str]:
    return {name: value for name, value in msgspec.structs.asdict(identity).items() if value is not None}


def _readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InvalidConfig(f"{name}={path!r} cannot be read: {error.strerror or error}") from None


def _check_file(name: str, path: str, *reads: Callable[[], object]) -> None:
    _readable(name, path)
    if find_spec("nkeys") is None:
        raise InvalidConfig(f"{name} needs the package nkeys: pip install 'sagakit[nkeys]'")
    try:
        for read in reads:
            read()
    except nats.errors.Error as error:
        raise InvalidConfig(f"{name}={path!r} cannot be used: {error}") from None


def _key_pair(seed: bytes) -> Any:
    """Return the key pair of a seed. Raises nats.errors.Error, which a reconnect survives."""
    import nkeys

    try:
        return nkeys.from_seed(bytearray(seed.strip()))
    except (nkeys.NkeysError, ValueError) as error:
        raise nats.errors.Error(f"no nkey seed (SU...): {type(error).__name__}") from None
