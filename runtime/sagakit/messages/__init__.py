"""Messages to sagas, as workers and clients make, check and read them. Nothing here knows trio, asyncio or NATS.

inbox_request  the payload of a message in the inbox
step_command   the payload of a command to a participant
start_context  the origin of a saga, the attributes that it can be found by, and the terms of its start
channels       the kinds of messages that each channel may bring
validation     the checks of a message before it is sent, and when it comes in
sealing        values that come plain, sealed before they are in the inbox
answered       the answer that a record has to a message
limits         the limits that `max_payload` sets
ids            ids that are made up
commands       messages on streams of users, and what they ask of sagas
command_permissions  the rights that a worker needs for its commands
"""
