"""The fleet: one worker, its lease, and what it does about the other workers and the sagas that they leave behind.

worker        opens a worker on a store, and drains it
life          its supervisor trees, from their start to the end of the drain
parts         the parts of a worker, built in order
lease         the worker's own lease, and how leases are read
membership    renews the lease, and watches the neighbors
observer      judges whether a worker is dead
control_endpoint  answers requests of other workers
handover      hands over the sagas that a leaving worker keeps no more, and its lease
recovery      scans for what is left behind
adoption      takes records over
kept_definitions  plans and schemas of all types and versions, in the meta bucket
plans         which changes of a plan need a new version
schema_check  which changes of a type need a new version, and which workers can read an input
replacing     a plan or schema that nothing needs any more may be replaced
elsewhere     what other workers can read and this one cannot
stranded      sagas that no worker can run, and why
unmet         reports children whose type no worker runs
notes         what a saga and its steps wait for, for a description
garbage       how often the garbage collector runs
"""
