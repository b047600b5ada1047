"""JetStream behind the ports: the one package that knows asyncio, trio-asyncio and nats-py.

link       one connection, seen from trio: everything that is sent and answered goes through it
pump       the queue, the window of unanswered messages, and the batches that are written
sweeper    what is overdue, and streams that have fallen silent
connection_state  up, lost, closing
parser     takes answers as they are read
wire       the frames of what is sent
answers    what the server's answers mean
connection_errors  what the connection complains of
connection  how to reach the servers, and what may be under way
connecting  opens and closes a link
reader     reads the socket in a trio task
security   credentials and TLS
nats_client  nats-py's client, mended
kv         buckets
event_log  the event log
stored     single looks into a stream
scan       reads much of a stream
pull       a consumer that several workers share
leaders    streams that have lost their leader
quota      how much is stored, and may be
domains    streams of other JetStream domains that take in our messages
inbox      the work queue of inbound messages
control    request and reply between workers
clock      the server's time, as this process knows it
layout     makes and checks buckets and streams
store      all of it as one `Store`
embedded   nats-server as a child process
server_process  that process: found, configured, started, stopped
disk       whether its folder takes writes
server_lock  the proof that the server before has ended
bridge     asyncio steps, called from trio
host       an asyncio loop in a thread of its own
whereabouts  which loop, thread and process a call comes from
trio_thread  a trio program in a thread of its own, beside an asyncio loop
url        from a URL to an open store
"""
