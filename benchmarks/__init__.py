"""Benchmarks: `python -m benchmarks NAME`. Figures are ratios to a floor that is measured in the same run.

floor        what one pipelined nats-py process gets acknowledged by the same server
throughput   sagas of no-op steps, as many as will go through one worker process
workload     the sagas that are measured
report       machine, versions, tables
"""
