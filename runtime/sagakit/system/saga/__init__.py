"""One saga's actor, and the parts of it. A part belongs to one incarnation of the actor, and only the actor uses it.

saga_actor    takes what comes in, folds it, and performs what the durable record asks for
saga_messages  the messages of the actor
phase         opening, running, awaiting lease, held back, retiring, over: a table
journal       the record, its revision, and the one operation that is under way
folding       events and a record become the next record, by the engine's rules
writes        proposes the next record, and holds back what the server refuses
proposal      what becomes of a record that is too large
calls         the attempts that are under way
outbox        hands events to the publisher
reminders     has the saga woken when it is due
passivation   gives the place to others, and ends the actor of a saga that waits
retirement    parent, events, children, archive: the order at a saga's end
alone         asks for a turn alone, for a suspect
waiters       the callers that wait for an answer
activation    what an incarnation starts from
slot          what all incarnations of the actor share
"""
