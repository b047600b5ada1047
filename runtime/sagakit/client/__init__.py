"""The objects that a program holds: `Runtime`, `Handle`, and what they return.

api          RuntimeApi: the methods of every runtime, a protocol
executor     SagaExecutor: the six basic ones, a protocol
access       SagaAccess: the ones that a handle uses, a protocol
runtime      Runtime, for trio programs
opening      open_runtime
script       run: one saga from a plain script
handle       Handle: one saga
verbs        the arguments of signals and verbs, checked
refusals     the errors for messages that a saga did not accept
metrics      the metrics of a worker, as a table
bulk         verbs for many sagas at once
description  Description: one saga for people to read
attempts     the attempts of its steps
by_key       PlainAccess: sagas by key and as JSON, for tools without the classes
deleting     removes what is kept of an ended saga
bare_errors  errors without the exception groups of nurseries
"""
