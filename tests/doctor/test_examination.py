"""An examination by the doctor as a whole."""

from __future__ import annotations

from typing import Any

import msgspec
import sagakit
from sagakit import Config
from sagakit.doctor import CHECKS, examine, open_patient
from sagakit.store.permissions import ROLES

from tests.doctor.examined import found, stored
from tests.sagas import BookTrip, Trip
from tests.servers import Server


async def test_nothing_is_found_where_nothing_is_wrong(server: Server, namespace: str) -> None:
    async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await (await runtime.start(BookTrip, "one", Trip())).outcome()
        async with open_patient(server.url, Config(namespace=namespace)) as patient:
            findings = await examine(patient)
    assert [finding.code for finding in findings] == [check.code for check in CHECKS]
    not_ok = {finding.code: finding for finding in findings if finding.result != "ok"}
    assert {code: finding.result for code, finding in not_ok.items()} == {"SK104": "skipped", "SK106": "skipped"}


def test_codes_are_in_order_and_used_once() -> None:
    codes = [check.code for check in CHECKS]
    assert codes == sorted(set(codes))


async def test_an_examination_changes_nothing(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass

    async def contents() -> list[Any]:
        async with open_patient(server.url, Config(namespace=namespace)) as patient:
            return [(name, info.state, info.config) for name, info in (await patient.streams()).items()]

    before = await contents()
    for role in ROLES:
        assert (await found(server.url, "SK106", role=role, namespace=namespace)).result == "ok"
    assert msgspec.to_builtins(await contents()) == msgspec.to_builtins(before)


async def test_the_shards_of_the_buckets_are_examined_whatever_the_options_say(server: Server, namespace: str) -> None:
    async with stored(server, namespace, shards=3) as store:
        for key in ("BookTrip.a", "BookTrip.b", "BookTrip.c", "BookTrip.d"):
            await store.state.put(key, b"junk")
    assert (await found(server.url, "SK304", namespace=namespace)).value == 4
    finding = await found(server.url, "SK202", namespace=namespace)
    assert finding.result == "bad"
    assert finding.found == "the buckets were made with shards=3, these options say shards=1"
