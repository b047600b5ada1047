"""The two faces of a runtime, for trio and for asyncio, have the same public names with the same signatures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import sagakit.asyncio
from sagakit import ClientApi, Runtime, RuntimeApi
from sagakit.asyncio import AsyncioRuntime
from sagakit.client.access import SagaAccess

from tests.sagas import BookTrip
from tests.test_asyncio import program

FACES = [Runtime, AsyncioRuntime]
PROTOCOL = vars(SagaAccess) | vars(ClientApi) | vars(RuntimeApi)
"""The members of the protocol: those that a handle uses, those of a client, too, and the others."""
NAMES = sorted(name for name in PROTOCOL if not name.startswith("_"))


def public(face: type) -> list[str]:
    """Return the public names that the class itself defines. It must inherit nothing."""
    assert face.__bases__ == (object,)
    return sorted(name for name in vars(face) if not name.startswith("_"))


def described(member: Any) -> tuple[str, str]:
    """Return the kind of a member, and its signature."""
    if isinstance(member, property):
        assert member.fget is not None
        return "property", str(inspect.signature(member.fget))
    kind = "coroutine function" if inspect.iscoroutinefunction(member) else "function"
    return kind, str(inspect.signature(member))


def test_there_is_much_to_compare() -> None:
    assert {"start", "list", "messages_sent", "metrics", "drain", "scan"} <= set(NAMES)


@pytest.mark.parametrize("face", FACES)
def test_a_face_has_exactly_the_names_of_the_protocol(face: type) -> None:
    assert public(face) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("face", FACES)
def test_a_member_is_what_the_protocol_says(face: type, name: str) -> None:
    assert described(vars(face)[name]) == described(PROTOCOL[name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("members", [*map(vars, FACES), PROTOCOL], ids=["Runtime", "AsyncioRuntime", "RuntimeApi"])
def test_a_member_says_what_it_does(members: Mapping[str, Any], name: str) -> None:
    assert inspect.getdoc(members[name])


def test_every_attribute_can_be_read_by_an_asyncio_program() -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            for name in NAMES:
                assert getattr(runtime, name) is not None
            assert runtime.messages_sent == runtime.metrics()["messages_sent_total"]

    program(main)


def the_trio_face(runtime: Runtime) -> RuntimeApi:
    """Show the type checkers that the class has the protocol."""
    return runtime


def the_asyncio_face(runtime: AsyncioRuntime) -> RuntimeApi:
    """Show the type checkers that the class has the protocol."""
    return runtime
