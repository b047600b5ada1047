"""What callers hand in is checked before anything is changed, and refused with what to do instead."""

from __future__ import annotations

import asyncio

import pytest
import sagakit.asyncio
from sagakit import Config, errors, open_runtime

CONFIG = Config(worker_name="shop", lease_ttl=20.0)


async def test_options_win_over_a_config_and_leave_the_rest_of_it() -> None:
    async with open_runtime("memory:", sagas=[], config=CONFIG, grace=1) as runtime:
        assert runtime.config == Config(worker_name="shop", lease_ttl=20.0, grace=1.0)
    with pytest.raises(errors.InvalidConfig, match="archive_ttl=10"):
        async with open_runtime("memory:", sagas=[], config=CONFIG, archive_ttl=10):
            pass


def test_options_win_over_a_config_beside_asyncio() -> None:
    async def main() -> Config:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[], config=CONFIG, grace=1) as runtime:
            return runtime.config

    assert asyncio.run(main()) == Config(worker_name="shop", lease_ttl=20.0, grace=1.0)
