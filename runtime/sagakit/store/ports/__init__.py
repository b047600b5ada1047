"""The ports: protocols for all that the runtime needs of a store.

`sagakit.store.memory` and `sagakit.jetstream` implement them.

Crash contract. A write whose revision was returned is durable. A write that ended in `Unavailable` was never sent. A
write that ended in `Ambiguous` may have happened, may not have, and may still happen later; the writer decides by
reading from the leader. No port retries anything by itself.

Two ways in. The `submit` methods queue without blocking and call back once, in the trio thread; they are never called
back inside `submit`. The persistence and the publisher actor use them for batches. The async methods park the calling
trio task; everything else uses them. A cancelled async write may still happen.

bucket_port   a bucket of keys and values, with compare-and-set
command_port  the queue of commands to participants
event_port    the event log
inbox_port    the queue of messages to sagas
reading_port  windows of stored values, for coroutines of asyncio and of trio alike
store_port    the store as a whole, with its clock and the control messages between workers
wire_port     a plain NATS connection, for code that runs on asyncio and on trio alike
"""

from sagakit.store.ports.bucket_port import BucketOptions as BucketOptions
from sagakit.store.ports.bucket_port import BucketUsage as BucketUsage
from sagakit.store.ports.bucket_port import Cursor as Cursor
from sagakit.store.ports.bucket_port import Deletion as Deletion
from sagakit.store.ports.bucket_port import Done as Done
from sagakit.store.ports.bucket_port import Entry as Entry
from sagakit.store.ports.bucket_port import KeyValue as KeyValue
from sagakit.store.ports.bucket_port import Write as Write
from sagakit.store.ports.command_port import CommandQueue as CommandQueue
from sagakit.store.ports.event_port import AppendQueue as AppendQueue
from sagakit.store.ports.event_port import EventLog as EventLog
from sagakit.store.ports.event_port import EventMessage as EventMessage
from sagakit.store.ports.inbox_port import ACK_WAIT as ACK_WAIT
from sagakit.store.ports.inbox_port import DUPLICATES as DUPLICATES
from sagakit.store.ports.inbox_port import HEADERS_LIMIT as HEADERS_LIMIT
from sagakit.store.ports.inbox_port import UNKNOWN_TYPE_FOR as UNKNOWN_TYPE_FOR
from sagakit.store.ports.inbox_port import Acknowledger as Acknowledger
from sagakit.store.ports.inbox_port import Burial as Burial
from sagakit.store.ports.inbox_port import InboundMessage as InboundMessage
from sagakit.store.ports.inbox_port import Inbox as Inbox
from sagakit.store.ports.inbox_port import Parking as Parking
from sagakit.store.ports.inbox_port import Source as Source
from sagakit.store.ports.reading_port import Extent as Extent
from sagakit.store.ports.reading_port import StoredValue as StoredValue
from sagakit.store.ports.reading_port import StoreReading as StoreReading
from sagakit.store.ports.reading_port import StreamReading as StreamReading
from sagakit.store.ports.reading_port import Window as Window
from sagakit.store.ports.store_port import Clock as Clock
from sagakit.store.ports.store_port import Control as Control
from sagakit.store.ports.store_port import Store as Store
from sagakit.store.ports.wire_port import Subscription as Subscription
from sagakit.store.ports.wire_port import Wire as Wire
from sagakit.store.ports.wire_port import WireEvent as WireEvent
from sagakit.store.ports.wire_port import WireMessage as WireMessage
from sagakit.store.ports.wire_port import WireRequest as WireRequest
