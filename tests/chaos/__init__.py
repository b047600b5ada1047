"""Sagas under chaos: real servers, real workers, kills, pauses, cuts; and a judge that does not know the engine.

cluster, proxy, processes     what faults are made to
definitions, services         the sagas, and the services that log every effect
worker, client, load          who starts them and speaks to them
schedule, faults              which faults, from the seed; and how they are made
recorder, collect             what is left: every stored version, calls, buckets, events
history, plans, rules         the judge's own view of it, and its rules; nothing of sagakit in here
checker, figures              the verdict, and what can be counted
plants                        bugs that the judge has to condemn
run, report                   one run from end to end
"""
