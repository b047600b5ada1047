"""Peers under the same work, in the same run: `python -m benchmarks peers`. Each is optional, with its install line.

harness          the work, the figures, and the process that a peer is measured in
catalogue        who there is: how to get it, what must be there, what its settings promise
dbos_peer        DBOS Transact, on SQLite and PostgreSQL
edda_peer        Edda, on SQLite
restate_peer     Restate: its server, a service of its Python SDK, and a client
postgres         a PostgreSQL of our own, on loopback
bench            sagakit beside them
"""
