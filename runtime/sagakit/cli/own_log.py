"""The log of sagakit while one command runs. The process that calls commands in itself gets its own log back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged_to(handler: logging.Handler) -> Iterator[None]:
    """Send the records of sagakit to `handler` alone while the context is open."""
    logger = logging.getLogger("sagakit")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before
