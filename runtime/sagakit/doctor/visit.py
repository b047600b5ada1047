"""The visit: opens a connection for an examination, under trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sagakit.client.bare_errors import bare_errors
from sagakit.doctor.monitoring import Monitored
from sagakit.doctor.patient import Patient
from sagakit.doctor.stream_checks import layout_shards
from sagakit.errors import StoreError
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.store.names import Names
from sagakit.store.permissions import Role
from sagakit.system.config import Config
from sagakit.system.open_store import connection_by, names_of


@asynccontextmanager
async def open_patient(
    url: str, config: Config, *, role: Role | None = None, monitored: Monitored | str | None = None
) -> AsyncIterator[Patient]:
    """Connect to running servers until the context ends, with the number of shards that the buckets were made with.

    Raises CannotConnect, InvalidConfig.
    """
    with bare_errors():
        async with open_link(connection_by(url, config)) as link:
            found = link.client.connected_server_version
            version = f"{found.major}.{found.minor}.{found.patch}"
            wire = LinkWire(link)
            patient = Patient(wire, names_of(config), config, version=version, role=role, monitored=monitored)
            yield await _with_shards(patient)


async def _with_shards(patient: Patient) -> Patient:
    try:
        shards = await layout_shards(patient)
    except StoreError:  # a check will say so
        return patient
    if not isinstance(shards, int) or shards == patient.names.shards:
        return patient
    names = Names(namespace=patient.names.namespace, shards=shards)
    return Patient(
        patient.wire, names, patient.config, version=patient.version, role=patient.role, monitored=patient.monitored
    )
