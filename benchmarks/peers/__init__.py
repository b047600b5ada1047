"""Peers under the same work, in the same run: `python -m benchmarks peers`. Each is optional, with its install line.

harness          the work, the figures, and the process that a peer is measured in
catalogue        the peers: how to install each, its requirements, the meaning of its settings
dbos_peer        DBOS Transact, on SQLite and PostgreSQL
edda_peer        Edda, on SQLite
restate_peer     Restate: its server, a service of its Python SDK, and a client
postgres         a PostgreSQL for the run, on loopback
bench            sagakit compared with them
"""
