"""The objects that a program holds: `Runtime`, `Handle`, and what they return.

client_api   ClientApi: the methods that clients and runtimes share, a protocol
api          RuntimeApi: those, and the methods that only runtimes have, a protocol
executor     SagaExecutor: the six basic ones, a protocol
access       SagaAccess: the ones that a handle uses, a protocol
runtime      Runtime, for trio programs
opening      open_runtime
misuse       the context managers of opening, which explain themselves
script       run: one saga from a plain script
handle       Handle: one saga
verbs        the arguments of signals and verbs, checked
start_options  the options of a start, checked
signal_sending  sends a signal to one saga
refusals     the errors for messages that a saga did not accept
metrics      the metrics of a worker, as a table
bulk         verbs for many sagas at once
description  Description: one saga for people to read
attempts     the attempts of its steps
by_key       PlainAccess: sagas by key and as JSON, for tools without the classes
shown_values  opens sealed values for people, or tells them in words
whole_history  histories with the large values of their events
redaction    hides values from people
json_shapes  the JSON of the commands and of the HTTP API
json_lines   sagas, events, groups and descriptions in that form
wire_bucket  a bucket that is read and written over a `Wire`
jobs         verbs for many sagas, as they are written down
trials       the answers that sagas would give to a message
job_plan     what a verb would do to many sagas
job_lines    jobs and verdicts as the JSON of the commands and of the HTTP API
job_start    a job, written down before it is run
job_run      one run of a job: sends, reads the verdicts, marks them
job_keeping  writes the marks of a job down while it runs, and shows that this process lives
deletion_run  one run of a job that deletes ended sagas
job_answers  why a verb has no effect on a saga of a job
tail         the messages of a stream as they are written
family_tree  a saga's parents and children
deleting     removes what is kept of an ended saga
copies       stores copies of sagas, with their events
restoring    restores records of sagas from the event log
bare_errors  errors without the exception groups of nurseries

The client without a worker; nothing here knows trio

client       Client: the methods
client_opening  open_client for trio programs, and what opening shares with asyncio programs
reaching       the connection of a client, and the check that its server can be used
saga_type    a type of saga, by its class or by its name
step_wait    the wait for a step of a saga
list_columns  the columns of a list of sagas, by their names
lookup       single looks by key
kept_plans   the plans that the workers keep
through_outages  waits, and asks again
changes      the hints on records that change, and the net below them
record_waits  waits until something holds for a saga, by the hints on its record
messenger    messages, and what becomes of them
command_sending  commands that a client sends to the runtime's own stream
client_starts  starts, and the sagas whose starts are on their way
burials      dead letters of own messages
letters      the dead letters of a namespace: listed, edited, sent again, deleted
letter_answers  what has become of each dead letter of a change
pending_saga  the access to a saga whose start is on its way
fleet_view   the workers, by their leases
watching     the events of sagas as they come
rights       the permissions that an account lacks
"""
