"""The border to user code. An exception of a user's function or type is handled here and nowhere else.

registry        the bindings of one worker, by class and by type and version
saga_binding    a saga instance with its compiled definition: calls of steps, payloads of messages
traced_binding  the same for a worker that traces: an attempt's span is current while user code runs
record_values   the values of a record, opened
arguments       the arguments of a function, read from a record
questions       conditions, items, times, inputs and outputs, computed by functions without effects
migrate         from an older version's record to this version's plan
lenders         what a call needs of the worker: event loops, threads, quotas
permit          permission to make one call, which the saga may revoke until the call starts
heartbeat       signs of life of an attempt
thread_calls    the calls that run in threads now, for the watchdog
limiters        quotas that steps share
classify        what a function returned or raised, as the result of an attempt
wrong_loop      advice for a call into the wrong event loop
"""
