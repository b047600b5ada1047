"""The ports of the store, its names on the wire, and the store in memory.

ports              the protocols that a store implements, with the crash contract
names              names of buckets, streams and subjects; namespace; shards
permissions        the rights that each role needs, and no more
accounts           the same rights as two accounts of NATS
memory             the store in memory: for virtual time and fault injection
memory_server      the durable side of the store in memory
memory_connection  the way there: operations in order, and faults
memory_batches     atomic batches of the store in memory
memory_inbox       the inbox of the store in memory
memory_commands    the commands of the store in memory
memory_reading     windows of the store in memory, for the repository
gathering          which writes go singly, and which share an atomic batch
event_chains       the events of a saga that go together in a batch
bucket             the part of a bucket that is the same for every store
starting           telling starts from other messages
faults             faults that a test injects into the store in memory
claimed_values     the parts of large values in their bucket
"""

from sagakit.store.names import Names as Names
from sagakit.store.names import SagaKey as SagaKey
from sagakit.store.ports import BucketOptions as BucketOptions
from sagakit.store.ports import Clock as Clock
from sagakit.store.ports import Control as Control
from sagakit.store.ports import Entry as Entry
from sagakit.store.ports import EventLog as EventLog
from sagakit.store.ports import EventMessage as EventMessage
from sagakit.store.ports import InboundMessage as InboundMessage
from sagakit.store.ports import Inbox as Inbox
from sagakit.store.ports import KeyValue as KeyValue
from sagakit.store.ports import Store as Store
from sagakit.store.ports import Write as Write
