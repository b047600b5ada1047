"""Benchmarks: `python -m benchmarks NAME`. Figures are ratios to a floor that is measured in the same run.

floor        the rate of messages that the same server acknowledges to one pipelined nats-py process: 100 %
limits       the floor with its CPU, and sequential acknowledged writes, on plain asyncio in a separate process
servers      the nats-servers under measurement: one node, or a cluster of three
workload     the sagas that are measured
load         a closed loop of clients
worker       a worker process under such a load
throughput   sagas of no-op steps, as many as the worker processes can bring to their end
variants     cases of it: compensation, fanout, growth, durability, shards
latency      an open loop
single       one saga at a time
waiting      sagas that wait on a timer
remote       sagas whose steps a participant does
participant  that participant, in a process of its own
intake       sagas that commands on a stream start
unanswered   sagas that wait for a participant's reply
recovery     a killed worker's sagas
actors       the actor library alone
result       cases, runs, medians
plans        the default cases of each benchmark
report       machine, versions, tables
plots        pictures
"""
