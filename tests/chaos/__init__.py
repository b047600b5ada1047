"""Sagas under chaos: real servers, real workers, kills, pauses and cuts, and a judge that does not know the engine.

cluster, proxy, processes     the servers, the network and the processes that faults hit
definitions, services         the sagas, and the services that log every effect
depot, participant            the remote steps, and the programs that do them
worker, client, load          the programs that start sagas and send them messages
schedule, faults, caught      the faults that the seed gives, how they are made, and what some of them wait for
recorder, collect, span_log   the evidence: every stored version, calls, buckets, events, spans
history, remote_evidence      the judge's own view of the evidence; they import nothing of sagakit
plans, rules                  the plans as the judge knows them, and its rules
checker, figures              the verdict, and the counts
plants                        bugs that the judge must condemn
run, report                   one run from end to end
"""
