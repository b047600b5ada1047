"""The outbox: a table through which a database transaction starts a saga, and the relay that starts it.

    with psycopg.connect(...) as connection:
        connection.execute("INSERT INTO orders ...")
        outbox.add(connection, PlaceOrder, "order-7", order)

The row commits or rolls back with the rest of the transaction. A `Relay` starts the saga afterwards, and removes the
row once the start is durable. So there is neither an order without a saga nor a saga without an order.

adding           add, add_async: write a row in the caller's transaction
outbox_table     the table: its SQL, and its rows
upkeep           create_table, status, refused, retry: for operators and for monitoring
relay            Relay: starts the sagas of the rows
sweeping         a sweep of a relay through the rows
claims           the relay's statements on the database, each in one transaction
work_thread      a thread for blocking calls, used by a coroutine of asyncio or trio
relay_tasks      the port of the two kinds of tasks
present_loop     the choice between them: the loop that runs here
asyncio_tasks    the port for asyncio
trio_tasks       the port for trio
"""

from sagakit.outbox.adding import add as add
from sagakit.outbox.adding import add_async as add_async
from sagakit.outbox.outbox_table import table_sql as table_sql
from sagakit.outbox.relay import Relay as Relay
from sagakit.outbox.sweeping import Starter as Starter
from sagakit.outbox.upkeep import OutboxStatus as OutboxStatus
from sagakit.outbox.upkeep import RefusedStart as RefusedStart
from sagakit.outbox.upkeep import create_table as create_table
from sagakit.outbox.upkeep import refused as refused
from sagakit.outbox.upkeep import retry as retry
from sagakit.outbox.upkeep import status as status
from sagakit.sql import Dialect as Dialect

__all__ = [
    "Dialect",
    "OutboxStatus",
    "RefusedStart",
    "Relay",
    "Starter",
    "add",
    "add_async",
    "create_table",
    "refused",
    "retry",
    "status",
    "table_sql",
]
