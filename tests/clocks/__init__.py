"""Time is the server's, and no proof compares clocks: real workers whose wall clocks are an hour off and jump.

faked      a process whose wall clock is not the machine's, by libfaketime
jobs       the sagas: each says when it began to wait for a time, and when that had come
keeping    workers an hour ahead and behind; one is killed, the clocks of the others jump: is each time kept?
late       a create that is held on the wire while another worker, an hour off, runs the same id to its end

`python -m tests.clocks` runs all of it, and says what it measured.
"""
