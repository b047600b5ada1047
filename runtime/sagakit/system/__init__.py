"""The system: the actors of one worker that run its sagas.

saga          one saga's actor, and the parts of it
io            the actors that write records and events, and the account of the room that is left in the buckets
inbound       the ways in: the inbox, starts, requests to a saga's owner, parents and children
active_sagas  the table of the worker's sagas; starts their actors
census        the numbers of the worker's sagas by type and status
record_cache  the stored records of sagas that were passivated last
environment   the parts that all sagas' actors share
places        lets `max_active` sagas be at work at once; the others wait for a place
timers        one heap for all sagas that wait
isolation     gives a suspect saga the worker to itself
turns         the rules of isolation, as a table
signs_of_life  when the participant of each attempt was last heard of
lease_status  the status of the worker's own lease, by its own clock
tally         what has happened to the worker's sagas, in counts and histograms
saga_tracer   hands the spans of attempts and sagas to whatever exports them
reports       the log lines on single sagas, each of which is told once
large_values  takes large values out of records, and fills them in
config        the options of a runtime
given_options  the same options as keywords, for editors and type checkers
connection_options  the part of a config that says how to reach the server
open_store    opens the store that a URL names
watchdog      finds out which code has blocked the loop, or outlives its timeout in a thread
"""
