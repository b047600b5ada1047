"""The border to user code: whatever a user's function or type raises is met here, once.

registry        the bindings of one worker, by class and by type and version
saga_binding    a saga instance with its compiled definition: calls, questions, migration, payloads
lenders         what a call needs of the worker: event loops, threads, quotas
permit          permission to make one call, which the saga may revoke until the call starts
heartbeat       signs of life of an attempt
limiters        quotas that steps share
classify        what a function returned or raised, as the result of an attempt
wrong_loop      advice for a call into the wrong event loop
"""
