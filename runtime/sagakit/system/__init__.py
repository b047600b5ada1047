"""The system: the actors of one worker that run its sagas.

saga          one saga's actor, and the parts of it
io            the actors that write records and events, and the room that is left in the buckets
inbound       the ways in: the inbox, starts, requests to a saga's owner, parents and children
active_sagas  the table of the worker's sagas; starts their actors
environment   the parts that all sagas' actors share
places        `max_active` sagas are at work at once; the others wait for a place
timers        one heap for all sagas that wait
isolation     gives a suspect saga the worker to itself
turns         the rules of that, as a table
lease_status  the worker's own lease, as its clock sees it
reports       what is counted, and what is logged once
config        the options of a runtime
given_options  the same options as keywords, for editors and type checkers
open_store    opens the store that a URL names
watchdog      finds out which code has blocked the loop
ids           random ids
"""
