"""The conformance suite: the clauses of the participant contract, tried on any participant over NATS alone.

clauses    the clauses as data: what each says, and the commands that show it
exchange   a command of the suite, and what was heard of it
judging    pure: what was heard to verdicts
probing    sends commands, and hears replies, acknowledgments and dead letters
trying     tries all clauses on one participant
"""
