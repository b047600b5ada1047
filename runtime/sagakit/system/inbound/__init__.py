"""The ways in: how messages and starts reach sagas.

intake        takes messages from the inbox
lane          one type's messages of one sort
in_hand       the messages that are being applied, and for how long
applier       applies one message: starts a saga, or passes it to its owner
channels      which kinds of message each subject may bring
validation    checks a message before anything is done with it
inbox_request  a message of the inbox, as a request to a saga
requests      brings a message to the owner of a saga, wherever that is
starts        starts each id once
children      the way to a saga's parent and children
dead_letters  keeps what can never be applied
"""
