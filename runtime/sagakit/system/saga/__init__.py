"""The actor of a saga and its parts. A part belongs to one incarnation of the actor, and only the actor uses it.

saga_actor    takes messages, folds them into the record, and performs what the durable record asks for
saga_messages  the messages of the actor
phase         opening, running, awaiting lease, held back, retiring, over: a table
journal       the record, its revision, and the one operation that is under way
folding       events and a record become the next record, by the engine's rules
writes        proposes the next record, and holds back what the server refuses
proposal      the smaller write that replaces a record which is too large
calls         the attempts that are under way
remote_calls  sends commands to participants, and looks for replies that are overdue
outbox        hands events to the publisher
reminders     has the saga woken when it is due
passivation   gives the place to others, and ends the actor of a saga that waits
retirement    the order at a saga's end: parent, events, children, archive
alone         asks for a turn alone, for a suspect
waiters       the callers that wait for an answer
activation    the record, or the request for one, from which an incarnation starts
slot          the state that all incarnations of the actor share
values_loading  reads the large values of a record before its saga goes on
"""
