"""Tests of time: it is the server's, and no proof compares clocks. Real workers' wall clocks are an hour off and jump.

faked      a process whose wall clock is not the machine's, by libfaketime
jobs       the sagas, which note when they begin to wait for a time, and when the time has come
keeping    workers an hour ahead and behind; one is killed, the clocks of the others jump: is each time kept?
late       a create that is held on the wire while another worker, an hour off, runs the same id to its end

`python -m tests.clocks` runs all of it, and prints its measurements.
"""
