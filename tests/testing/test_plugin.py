"""The pytest plugin provides fixtures, and does not interfere with async plugins."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

SUITE = """
from sagakit import Context, Saga, step

class Tiny(Saga[str]):
    @step(compensate=None)
    async def only(self, input: str, ctx: Context) -> None: ...

def test_a_run(saga_simulate):
    assert saga_simulate(Tiny(), "x").calls.names() == ["only"]

def test_all_runs(saga_explore):
    assert saga_explore(Tiny, "x").schedules > 10

async def test_an_embedded_server(saga_url):
    import sagakit
    async with sagakit.open_runtime(saga_url, sagas=[Tiny()]) as runtime:
        assert await runtime.execute(Tiny, "1", "x") == sagakit.Completed(None)
"""


def test_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)
