"""The parts of nats-py and asyncio that are not public and that the link uses: with what each must be, and why.

nats-py has no public way to write a batch of frames, to take answers as they are read, or to mend its habits (see
`nats_client`). So the link depends on how some of its parts are named and called. A test compares each with this list,
and names the part that another release has changed; another test finds a part that is used and not listed.
"""

from __future__ import annotations

from asyncio import StreamReader
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, WebSocketTransport
from nats.protocol.parser import Parser

TESTED: tuple[str, str] = ("2.16.0", "2.16.0")
"""The first and the last release of nats-py with which the whole suite has run; `pyproject.toml` asks for these."""


class Part(NamedTuple):
    """A part. `parameters` are those of a method; None for an attribute that each instance has."""

    owner: type
    name: str
    parameters: tuple[str, ...] | None
    why: str


def _method(owner: type, name: str, *parameters: str, why: str) -> Part:
    return Part(owner, name, ("self", *parameters), why)


def _attribute(owner: type, name: str, why: str) -> Part:
    return Part(owner, name, None, why)


PARTS: tuple[Part, ...] = (
    # Batches: the pump writes frames itself.
    _attribute(Client, "_transport", "the present connection, reused for the next one; None before the first"),
    _attribute(Client, "_pending_data_size", "the flusher drains a WebSocket if this is not 0"),
    _attribute(Client, "_pending", "emptied when closing fails, so that closing can be tried again"),
    _attribute(Client, "_flush_queue", "a future in it wakes the flusher"),
    _method(Client, "_flush_pending", "force_flush", why="called by `close` also before there is anything to flush"),
    _attribute(TcpTransport, "_io_writer", "over plain TCP its socket is lent to trio"),
    _attribute(TcpTransport, "_io_reader", "tells whether nats-py has taken in what was read"),
    _attribute(TcpTransport, "_bare_io_writer", "another one than `_io_writer` once TLS is spoken"),
    _attribute(StreamReader, "_buffer", "asyncio's: empty when all that was read is taken in"),
    _attribute(StreamReader, "_waiter", "asyncio's: not done while nats-py waits for more"),
    # Answers: taken as they are read.
    _attribute(Client, "_ps", "the parser, which is given what was read, and reset when a connection is lost"),
    _method(Parser, "parse", "data", why="given whole pieces only, its state is always `awaiting a control line`"),
    _method(Parser, "reset", why="called on a new connection, and by us after a message that cannot be taken in"),
    _attribute(Parser, "buf", "not empty after a whole piece: the piece was malformed"),
    _attribute(Subscription, "_id", "the number by which a message names its subscription"),
    # A server that is there is not lost for a pong that comes late.
    _attribute(Client, "_pings_outstanding", "set to 0 when an answer shows that the server hears us"),
    _attribute(Client, "_pongs", "the futures of pings, oldest first; one that nobody awaits may be done"),
    _method(Client, "_process_pong", why="resolves the oldest of `_pongs`"),
    # Connecting, and losing a connection.
    _method(Client, "_connect_to_server", "s", why="opens a socket; called for each try"),
    _method(Client, "_process_connect_init", why="logs in; a try that fails must not leave its socket open"),
    _method(Client, "_process_info", "info", "initial_connection", why="takes the server's greeting, and its news"),
    _method(Client, "_attempt_reconnect", why="called once a connection is lost"),
    _method(Client, "_process_op_err", "e", why="called to give a connection up"),
    _method(Client, "_process_err", "err_msg", why="called with what the server complains of, in lower case"),
    _method(Client, "_read_loop", why="reads until the connection is lost, and stops at an error it does not know"),
    _method(Client, "_close", "status", "do_cbs", why="closes for good"),
    _attribute(Client, "_reading_task", "runs `_read_loop`"),
    _attribute(Client, "_flusher_task", "ends with the connection that it was made for"),
    _attribute(Client, "_ping_interval_task", "ends with the connection that it was made for"),
    _attribute(Client, "_status", "set to DISCONNECTED so that closing can be tried again"),
    _attribute(Client, "_error_cb", "called with what the server complains of"),
    _attribute(Client, "_current_server", "the server that the connection leads to"),
    _attribute(Client, "_server_pool", "the servers that are tried, in this order"),
    _attribute(Client, "_server_info", "the server's greeting: it names a domain or a cluster"),
    _attribute(Client, "_max_payload", "taken from the server's news, too"),
    _attribute(Client, "_inbox_prefix", "wanted before `connect` sets it"),
    _attribute(Client, "_auth_configured", "true if a login is sent"),
    _attribute(Client, "_signature_cb", "signs the server's nonce, if there is a key"),
    _attribute(WebSocketTransport, "_ws", "its socket is shut down when a server falls silent"),
)
