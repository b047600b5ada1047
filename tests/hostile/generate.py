"""Generated messages: types, sizes, encodings, kinds, families and ids that a client may try to send."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from sagakit.messages.channels import ALLOWED

HONEST = "honest-{}"
STRANGERS = ("Nobody", "honest")
"""Types that no worker has; their messages wait for ten minutes before they are dead letters."""
KINDS = (*sorted(set[str]().union(*ALLOWED.values())), "dance", "", "START")
"""All kinds that exist, and some that do not."""


class Shot(NamedTuple):
    """A message."""

    subject: str
    headers: dict[str, str]
    payload: bytes


def shots(seed: int, number: int, honest: int) -> Iterator[Shot]:
    """Yield messages, each with its own id. Honest sagas only get messages that their sender has no right to send."""
    dice = random.Random(seed)
    for count in range(number):
        id = f"shot-{seed}-{count}"
        make = dice.choice(_MAKERS)
        subject, payload = make(dice, honest)
        headers = {"Nats-Msg-Id": id} | _odd_headers(dice)
        yield Shot(subject, headers, payload)


def _odd_headers(dice: random.Random) -> dict[str, str]:
    if dice.random() < 0.7:
        return {}
    return dice.choice(
        [
            {"Status": dice.choice(["100", "404", "408", "409", "503", "x"]), "Description": "Consumer Deleted"},
            {"Sagakit-Channel": "operator", "Sagakit-Id": "forged", "Sagakit-Since": "1e300"},
            {"X": "y" * dice.randrange(2_000)},
            {"Sagakit-Subject": "sagasys.Honest.honest-1", "Sagakit-Reason": "none"},
        ]
    )


def _forbidden_kind(dice: random.Random, honest: int) -> tuple[str, bytes]:
    """Make a verb or family message to an honest saga, over the channel of clients."""
    kind = dice.choice([kind for kind in KINDS if kind not in ("start", "signal", "cancel")])
    body = {
        "kind": kind,
        "step": dice.choice(["go", "pay", "reserve", "nothing"]),
        "payload": dice.choice([7, "text", None, {"a": 1}]),
        "reason": "r" * dice.randrange(600),
        "by": "b" * dice.randrange(600),
    }
    return f"sagain.Honest.{HONEST.format(dice.randrange(honest))}", json.dumps(body).encode()


def _useless_signal(dice: random.Random, honest: int) -> tuple[str, bytes]:
    """Make a signal that no honest saga has."""
    body = {
        "kind": "signal",
        "step": dice.choice(["nothing", "pay", "x" * 600]),
        "payload": dice.choice([1, "t", None]),
    }
    return f"sagain.Honest.{HONEST.format(dice.randrange(honest))}", json.dumps(body).encode()


def _unknown_saga(dice: random.Random, honest: int) -> tuple[str, bytes]:
    kind = dice.choice(["cancel", "signal"])
    return f"sagain.{_type(dice)}.nobody-{dice.randrange(500)}", json.dumps({"kind": kind, "step": "go"}).encode()


def _bad_start(dice: random.Random, honest: int) -> tuple[str, bytes]:
    """Make an input that cannot be read, also one for which the type itself raises."""
    given: object = dice.choice(
        [{"currency": "XXX"}, {"currency": 7}, {}, None, [], "text", {"currency": "EUR", "amount": "many"},
         {"currency": "EUR", "amount": 10**30}]
    )  # fmt: skip
    more: dict[str, object] = dice.choice(
        [{}, {"parent": {"key": "Honest.honest-1", "run": "r", "node": "n"}}, {"attributes": {"a": 5}}]
    )
    return f"sagain.Honest.bad-{dice.randrange(10**9)}", json.dumps({"kind": "start", "input": given, **more}).encode()


def _good_start(dice: random.Random, honest: int) -> tuple[str, bytes]:
    """Make a start that a client has the right to send; it is applied."""
    return f"sagain.Slow.slow-{dice.randrange(10**9)}", json.dumps({"kind": "start", "input": 0}).encode()


def _no_json(dice: random.Random, honest: int) -> tuple[str, bytes]:
    payload = dice.choice(
        [b"", b"{", b"\xff\xfe", b"[" * 5_000, b"[" * 20_000 + b"]" * 20_000, b"nul", b'"text"', b"1e999",
         dice.randbytes(dice.randrange(3_000)), b'{"kind":"start","input":"' + b"x" * 400_000 + b'"}',
         b'{"kind":"cancel","reason":"\xed\xa0\x80"}', b'{"kind":"cancel","kind":"start"}']
    )  # fmt: skip
    return f"sagain.{_type(dice)}.{_id(dice)}", payload


def _odd_address(dice: random.Random, honest: int) -> tuple[str, bytes]:
    tail = dice.choice(
        ["a.b", "a.b.c", "=zz", "=2e", "a" * 600, "=E8=88=B9" * 58, "=", "x=", "-", "_", "9", "a" * 511 + "=41"]
    )
    return f"sagain.{_type(dice)}.{tail}", json.dumps({"kind": "cancel"}).encode()


def _type(dice: random.Random) -> str:
    return dice.choice(["Honest", "Honest", "Slow", "Slow", *STRANGERS, "9", "X" * 70])


def _id(dice: random.Random) -> str:
    return dice.choice(["a", "=E8=88=B9", "x" * dice.randrange(1, 520), f"{dice.randrange(10**6)}"])


_MAKERS = (
    _forbidden_kind, _forbidden_kind, _useless_signal, _unknown_saga, _bad_start, _bad_start, _good_start, _no_json,
    _odd_address,
)  # fmt: skip
