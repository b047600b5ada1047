"""The actors that carry a worker's I/O, and the account of the room that is left in the buckets.

persistence     writes every record, and decides every ambiguous write
operations      the messages of the persistence actor
publisher       publishes every event
unpublished     the events that are not in the log yet, for the metrics
receipt         the count of a saga's published events
room            refuses starts while the running sagas still fit
storage_quotas  the fill levels of buckets and account
value_writes    stores large values, before the record that names them
"""
