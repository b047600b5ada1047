"""The actors that carry a worker's I/O, and the room that is left in the buckets.

persistence   writes every record, and decides every ambiguous write
operations    the messages of the persistence actor
publisher     publishes every event
receipt       how many of a saga's events are published
room          starts stop while running sagas still fit
vessels       what buckets, account and disk hold
"""
