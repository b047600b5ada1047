"""The fleet: one worker, its lease, how it watches other workers, and how it adopts the sagas that they leave behind.

worker        opens a worker on a store, and drains it
life          its supervisor trees, from their start to the end of the drain
parts         the parts of a worker, built in order
prepared_commands  the commands of a worker, checked before it opens
lease         the worker's own lease, and how leases are read
lease_value   the value of a lease
membership    renews the lease, and watches the neighbors
observer      judges whether a worker is dead
control_endpoint  answers requests of other workers
handover      gives the sagas and the lease of a leaving worker to the others
recovery      scans for what is left behind
adoption      takes records over
kept_definitions  plans and schemas of all types and versions, in the meta bucket
plans         which changes of a plan need a new version
schema_check  which changes of a type need a new version, and which workers can read an input
replacing     finds out what still needs a plan or schema that is to be replaced
elsewhere     the other workers: which types they run, and which inputs they can read
stranded      sagas that no worker can run, and why
needs         the needs of a saga, and the workers that can meet them
unmet         reports children whose type no worker runs
value_sweep   removes large values that nothing names any more
notes         texts for a description: the absent worker that a saga or a step waits for
garbage       how often the garbage collector runs
"""
