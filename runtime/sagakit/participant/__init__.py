"""Participants: services that do steps of sagas which run elsewhere. Nothing here imports trio.

service    Service, its endpoints with undo and check, and the `CommandContext` of a handler
key_store  what was done under which key, so that it is done once; a store of them in memory
kv_keys    keys in a KV bucket, for handlers that are idempotent themselves
sql_keys   keys in a table of the user's own database
work       the rules: what a command leads to
replies    the reply, as JSON
work_signs  the signs of life of a command that is being worked on
serving    takes commands from NATS, has them worked on, and answers them
registration  says to NATS micro what a participant serves
server_time  the time by which old keys are known
conformance  the clauses of the contract, tried on any participant over NATS
participant_opening  opens a participant in an asyncio or a trio program
"""

from sagakit.definition.step_answers import Done as Done
from sagakit.definition.step_answers import NotDone as NotDone
from sagakit.definition.step_answers import Reject as Reject
from sagakit.definition.step_answers import Retry as Retry
from sagakit.participant.key_store import Keys as Keys
from sagakit.participant.key_store import MemoryKeys as MemoryKeys
from sagakit.participant.kv_keys import KvKeys as KvKeys
from sagakit.participant.participant_opening import open_asyncio_participant as open_asyncio_participant
from sagakit.participant.participant_opening import open_participant as open_participant
from sagakit.participant.service import CommandContext as CommandContext
from sagakit.participant.service import Service as Service
from sagakit.participant.service import ServiceEndpoint as ServiceEndpoint
from sagakit.participant.sql_keys import SqlKeys as SqlKeys
from sagakit.participant.sql_keys import keys_table_sql as keys_table_sql

__all__ = [
    "CommandContext",
    "Done",
    "Keys",
    "KvKeys",
    "MemoryKeys",
    "NotDone",
    "Reject",
    "Retry",
    "Service",
    "ServiceEndpoint",
    "SqlKeys",
    "keys_table_sql",
    "open_asyncio_participant",
    "open_participant",
]
