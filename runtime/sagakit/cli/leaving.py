"""The end of a command's process: its memory is given back as a whole.

Python frees each object of a few hundred modules first, which takes a fifth of the time of `sagakit list`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress


def leave(code: object) -> None:
    """End the process with an exit code, or return if that is left to Python.

    Exit functions run, and what was printed is written. Returns if there is a text in place of a code, if Python waits
    for a thread, or if a debugger, a profiler or `python -i` waits for the end.
    """
    is_watched = sys.gettrace() is not None or sys.getprofile() is not None or sys.flags.inspect
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not isinstance(code, int | None) or not all(thread.daemon for thread in others) or is_watched:
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the shell has closed it
            with suppress(OSError):  # a loss was told before, but for what exit functions print
                stream.flush()
    os._exit(code or 0)
