"""The visit: opens a connection for an examination, under trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sagakit.client.bare_errors import bare_errors
from sagakit.client.reaching import client_connection
from sagakit.doctor.monitoring_port import Monitored
from sagakit.doctor.patient import Patient
from sagakit.errors import ServerError, StoreError
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.server_check import names_there
from sagakit.store.permissions import Role
from sagakit.system.config import Config
from sagakit.system.open_store import names_of


@asynccontextmanager
async def open_patient(
    url: str, config: Config, *, role: Role | None = None, monitored: Monitored | str | None = None
) -> AsyncIterator[Patient]:
    """Connect to running servers until the context ends, with the number of shards that the buckets were made with.

    Raises CannotConnect, InvalidConfig.
    """
    with bare_errors():
        async with open_link(client_connection(url, config)) as link:
            wire, version = LinkWire(link), link.server_version
            patient = Patient(wire, names_of(config), config, version=version, role=role, monitored=monitored)
            yield await _with_shards(patient)


async def _with_shards(patient: Patient) -> Patient:
    try:
        names = await names_there(patient.wire, patient.names.namespace)
    except (StoreError, ServerError):  # a check will say so
        return patient
    return Patient(
        patient.wire, names, patient.config, version=patient.version, role=patient.role, monitored=patient.monitored
    )
