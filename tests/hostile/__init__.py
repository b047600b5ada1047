"""What a client's rights allow against a worker, on a real server: floods, forged headers, generated messages.

    python -m tests.hostile            everything, at full size
    python -m tests.hostile fuzz       20,000 generated messages while 200 honest sagas run

unknown    item by item: messages to sagas that are not there do not hold up others
statuses   messages that pretend to be the server's own words do not stop a type's inbox
verbs      an operator is heard while thousands of starts wait for room
fuzz       each generated message is applied, refused, or a dead letter; nobody is harmed
"""
