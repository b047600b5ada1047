"""The ways in: the parts that bring messages and starts to sagas.

intake        takes messages from the inbox
lane          one type's messages of one sort
disposal      handles in groups what nobody waits for
in_hand       the messages that were taken from the inbox and are not done with
applier       applies one message: starts a saga, or passes it to its owner
absences      the sagas that a look has just not found
requests      brings a message to the owner of a saga, here or elsewhere
starts        starts each id once
children      the way to a saga's parent and children
dead_letters  keeps what can never be applied
command_intake  puts commands from streams of users into the inbox
"""
