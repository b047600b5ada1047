"""Attacks on a worker with a client's rights, on a real server: floods, forged headers, generated messages.

    python -m tests.hostile            everything, at full size
    python -m tests.hostile fuzz       20,000 generated messages while 200 honest sagas run

unknown    messages to sagas that do not exist do not delay others
statuses   messages that pretend to be the server's own do not stop a type's inbox
verbs      an operator is heard while thousands of starts wait for room
fuzz       each generated message is applied, refused, or becomes a dead letter; no saga is harmed
"""
