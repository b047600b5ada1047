"""Free ports of the loopback for servers that are stopped and started again."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

PORTS = range(20_000, 30_000)
"""Ports for servers. No system gives them to outgoing connections (Linux takes those from 32,768 on).

A port that the system would give away is lost while its server is down: a client that dials it again and again may be
given that very port for its own end, and is then connected to itself.
"""


def free_port() -> int:
    """Return a port that nobody uses now. One process gets a port twice only after all others. Raises OSError."""
    for _ in PORTS:
        if is_free(port := next(_order())):
            return port
    raise OSError(f"no port between {PORTS.start} and {PORTS.stop} is free on the loopback: stop what uses them")


@cache
def _order() -> Iterator[int]:
    """Return all ports in an order of this process's own, again and again. Most processes never need one."""
    return cycle(random.Random().sample(PORTS, len(PORTS)))  # processes differ, whatever seed `random` has


def is_free(port: int) -> bool:
    """Return whether a server can listen there. Connections of a server that was killed are no obstacle."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
