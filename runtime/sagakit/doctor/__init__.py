"""The doctor: coded checks of a server, its streams, the fleet and the stored sagas. They change nothing.

A check awaits only a `Wire`, so that it runs under trio and under asyncio.

finding            a finding: the result of one check, with what to do
patient            the things that the checks look at, asked for once
live_sagas         one pass over the live records
monitoring_port    the monitoring port of a server
server_checks      connection, version, limits, fsync, clock, permissions
stream_checks      streams that are missing, made wrong, full, or without their replicas
fleet_checks       leases and orphans
saga_checks        stuck sagas, unreadable records, outbox, inbox, dead letters
examination        all checks in order, and their codes
visit              opens a connection for an examination, under trio
"""

from sagakit.doctor.examination import CHECKS as CHECKS
from sagakit.doctor.examination import examine as examine
from sagakit.doctor.examination import not_connected as not_connected
from sagakit.doctor.finding import Diagnosis as Diagnosis
from sagakit.doctor.monitoring_port import Monitored as Monitored
from sagakit.doctor.monitoring_port import read_monitoring as read_monitoring
from sagakit.doctor.patient import Patient as Patient
from sagakit.doctor.visit import open_patient as open_patient
