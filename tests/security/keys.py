"""nkeys, and the JWTs of an operator with one account, made by hand as `nsc` makes them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys


def new_pair(prefix: int) -> Any:
    """Return a key pair for a prefix: nkeys.PREFIX_BYTE_USER, _ACCOUNT or _OPERATOR."""
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def public(pair: Any) -> str:
    text: str = pair.public_key.decode()
    return text


def jwt(issuer: Any, subject: str, name: str, nats: dict[str, Any], *, seconds: float | None = None) -> str:
    """Return a JWT signed by `issuer`, valid for so many seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "iss": public(issuer), "name": name, "sub": subject, "nats": nats}
    if seconds is not None:
        claims["exp"] = now + seconds
    digest = hashlib.new("sha512_256", json.dumps(claims, separators=(",", ":")).encode()).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = _part({"typ": "JWT", "alg": "ed25519-nkey"})
    body = f"{head}.{_part(claims)}"
    return f"{body}.{_encoded(issuer.sign(body.encode()))}"


class Operator:
    """An operator, the account APP with JetStream, and its users."""

    def __init__(self) -> None:
        self._operator = new_pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = new_pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = new_pair(nkeys.PREFIX_BYTE_ACCOUNT)

    def config(self) -> str:
        """Return the server's configuration: the operator's JWT, and a resolver that knows the accounts."""
        operator = jwt(self._operator, public(self._operator), "op", {"type": "operator", "version": 2})
        unlimited = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
        jetstream = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        app = {"type": "account", "version": 2, "limits": unlimited | {"wildcards": True} | jetstream}
        system = {"type": "account", "version": 2, "limits": unlimited | {"wildcards": True}}
        app_jwt = jwt(self._operator, public(self._account), "APP", app)
        system_jwt = jwt(self._operator, public(self._system), "SYS", system)
        return (
            f"operator: {operator}\nsystem_account: {public(self._system)}\nresolver: MEMORY\n"
            f"resolver_preload: {{ {public(self._account)}: {app_jwt}\n{public(self._system)}: {system_jwt} }}"
        )

    def credentials(self, file: Path, *, seconds: float | None = None) -> str:
        """Write a new user's credentials file in one move, as a rotation does; return its path."""
        user = new_pair(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        token = jwt(self._account, public(user), "worker", claims, seconds=seconds)
        text = (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        new = file.with_suffix(".new")
        new.write_text(text)
        new.rename(file)
        return str(file)


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
