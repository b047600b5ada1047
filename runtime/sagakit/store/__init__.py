"""The ports of the store, its names on the wire, and the store in memory.

ports           what the runtime needs of a store, with its crash contract
names           buckets, streams, subjects; namespace; shards
permissions     the least that each role needs
accounts        the same as two accounts of NATS
memory          the ports in memory: for virtual time and fault injection
memory_server   its durable side
memory_inbox    its inbox
bucket          what the adapters of a bucket do in the same way
starting        whether a message is a start
faults          what a test wants to go wrong there
"""

from sagakit.store.faults import StoreFault as StoreFault
from sagakit.store.faults import StoreFaults as StoreFaults
from sagakit.store.memory import open_memory as open_memory
from sagakit.store.memory_server import MemoryServer as MemoryServer
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
