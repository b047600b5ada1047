"""The line of user code that an exception comes from, for the log."""

from __future__ import annotations

import os
from collections.abc import Callable
from traceback import walk_tb
from types import FrameType
from typing import Any

from sagakit.definition.raised import leaves_of

_OURS = ("sagakit", "sagakit_actors")
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", os.path.dirname(os.__file__) + os.sep)
_WITHOUT_FILE = "<"
"""First character of the file name of a frame without a file, such as `<frozen importlib>`."""


def line_of(error: BaseException, of: Callable[..., Any]) -> str:
    """Return `file.py:line in function` of the innermost frame of user code; empty if there is none.

    User code is the package of the function or class `of`, and all code outside of libraries and of sagakit. In a
    group the first exception with such a frame counts.
    """
    package = _package_of(getattr(of, "__module__", None))
    for leaf in (*leaves_of(error), error):
        own = [(frame, line) for frame, line in walk_tb(leaf.__traceback__) if _is_users(frame, package)]
        if own:
            frame, line = own[-1]
            return f"{_file_of(frame)}:{line} in {frame.f_code.co_name}"
    return ""


def _is_users(frame: FrameType, package: str) -> bool:
    own, file = _package_of(frame.f_globals.get("__name__")), frame.f_code.co_filename
    if own in _OURS or file.startswith(_WITHOUT_FILE):
        return False
    return own == package or not any(folder in file for folder in _LIBRARIES)


def _package_of(module: object) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def _file_of(frame: FrameType) -> str:
    """Return the file's path relative to the working directory."""
    file = frame.f_code.co_filename
    try:
        return file.removeprefix(os.getcwd() + os.sep)
    except OSError:  # the directory is gone
        return file
