"""The programs of the tutorial, one folder for each page of docs/tutorial.

step1   one step
step2   a second step, and what undoes the first one
step3   types, and refusals
step4   retries, doubt and keys
step5   waiting: a signal and a timer
step6   one step for each item of a list
step7   a server, a worker and a client in processes of their own, and `kill -9`
step8   a step that another service does
"""
