"""JetStream behind the ports: the one package that knows asyncio, trio-asyncio and nats-py.

The connection

link       one connection, seen from trio: everything that is sent and answered goes through it
pump       the queue, the window of unanswered messages, and the batches that are written
sweeper    what is overdue, and streams that have fallen silent
connection_state  up, lost, closing
route      how frames get onto one connection, and who reads it
lent_transport  nats-py's transport over TCP, whose socket trio borrows
subscriptions  the inbox, and the subjects that are heard
parser     takes answers as they are read
wire       the frames of what is sent
answers    what the server's answers mean
leaders    streams that have lost their leader
connection_errors  what the connection complains of
connection  its options
connecting  opens and closes a link
security   credentials and TLS
link_wire  the port `Wire` over a link, for trio programs
asyncio_wire  the port `Wire` over nats-py alone, for asyncio programs
nats_client  nats-py's client, mended
nats_options  the options with which it connects
kept_back  modules that nats-py imports and seldom uses: not before they are needed
nats_parts  the private parts of nats-py that are used, with the releases that were tested

The store

kv         buckets
event_log  the event log
inbox      the work queue of inbound messages
publishing  single publishes
dead_letter  dead letters as they are published
step_commands  the work queue of commands to participants
control    request and reply between workers
clock      the server's time, as this process knows it
stored     single looks into a stream
scan       reads much of a stream, and windows of it, newest first
puller     the consumer that a scan makes and removes
wire_reading  the port `StoreReading` over a `Wire`
pull       a consumer that several workers share
command_stream  the streams of users that commands come on, and their consumers
quota      how much is stored, and may be
domains    streams of other JetStream domains that take in our messages
batches    atomic batches: their messages and answers
one_stream  questions to the API about one stream
layout     makes and checks buckets and streams
bucket_config  the configuration of a bucket
older_layout  adds what an older version has not made
store      all of it as one `Store`
url        from a URL to an open store
address    from the URL of a server to the options of a connection
server_check  whether a server can be used, and which layout its buckets have

The embedded server

embedded   nats-server as a child process
server_process  that process: found, configured, started, stopped
disk       whether its folder takes writes
ports      free ports, for servers that are stopped and started again
server_lock  the proof that the server before has ended

Between trio and asyncio

asyncio_run  one run of an asyncio loop for work on a connection
asyncio_side  the loop of nats-py's client: trio-asyncio's, or in a thread
crossing   one call from a trio task to a loop in another thread
bridge     asyncio steps, called from trio
host       an asyncio loop in a thread, with what is to be closed there
trio_thread  a trio program in a thread, beside an asyncio loop
whereabouts  which loop, thread and process a call comes from
"""

from sagakit.jetstream.kept_back import keep_back

keep_back()
