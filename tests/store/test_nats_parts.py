"""The parts of nats-py that are not public: each is as the link expects it, and none is used that is not listed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import sagakit.jetstream
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import WebSocketTransport
from sagakit.jetstream.lent_transport import LentTransport
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.nats_parts import PARTS, TESTED, Part
from sagakit.jetstream.parser import AnswerParser

PACKAGE = Path(sagakit.jetstream.__file__).parent


async def instance_of(owner: type) -> object:
    """Make one, in an asyncio loop."""
    made: object = owner(Client(), 7) if owner is Subscription else owner()
    if isinstance(made, WebSocketTransport):
        await made._client.close()
    return made


def changed(part: Part, found: object) -> str:
    return (
        f"nats-py {version('nats-py')}: {part.owner.__name__}.{part.name} has changed: it was "
        f"{'an attribute' if part.parameters is None else part.parameters}, it is {found}. The link uses it: {part.why}"
    )


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.owner.__name__}.{part.name}")
def test_each_part_is_what_the_link_expects(part: Part) -> None:
    if part.parameters is None:
        instance = asyncio.run(instance_of(part.owner))
        assert hasattr(instance, part.name), changed(part, "not there")
    else:
        method = getattr(part.owner, part.name, None)
        assert method is not None, changed(part, "not there")
        found = tuple(inspect.signature(method).parameters)
        assert found == part.parameters, changed(part, found)
        assert inspect.iscoroutinefunction(method) == (part.name != "reset"), changed(part, "called in another way")


def test_the_releases_that_were_tested_are_those_that_are_asked_for() -> None:
    asked = tomllib.loads((PACKAGE.parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
    first, last = ([int(number) for number in release.split(".")] for release in TESTED)
    assert f"nats-py>={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}" in asked


def private_names() -> tuple[set[str], set[str]]:
    """Return the private attributes that the package's modules use, and those that they define."""
    used: set[str] = set()
    defined: set[str] = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                holder = node.value.id if isinstance(node.value, ast.Name) else ""
                if holder == "os":
                    continue
                (defined if holder in ("self", "cls") and isinstance(node.ctx, ast.Store) else used).add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defined.add(node.name)
    return used, defined


def test_no_other_part_is_used() -> None:
    used, defined = private_names()
    theirs = {name for owner in {part.owner for part in PARTS} for name in dir(owner) if name.startswith("_")}
    listed = {part.name for part in PARTS}
    ours = {name for mended in (NatsClient, LentTransport, AnswerParser) for name in vars(mended)}
    overridden = (ours & theirs) - {"_abc_impl"}
    assert {name for name in (used - defined) | overridden if not name.startswith("__")} <= listed
    assert {part.name for part in PARTS if part.name.startswith("_")} <= used | defined
