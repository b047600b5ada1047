"""The log of a worker process: records of `logging` on standard error, as text or as one JSON object a line."""

from __future__ import annotations

import logging
import logging.config
from typing import Any, Literal

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up(format: Literal["text", "json"], level: str, *, process: int | None = None) -> None:
    """Send all records to standard error.

    A JSON object has `time` (UTC), `level`, `logger`, `message`, `exc_info` after an error, and the fields of `extra=`.
    `process` is the number of one of several processes that share the stream: each record names it.
    """
    text = TEXT if process is None else TEXT.replace("%(name)s", f"[{process}] %(name)s")
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"it": _json(process) if format == "json" else {"format": text}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "it"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"hypercorn": {"level": "WARNING"}, "asyncio": {"level": "WARNING"}},
        }
    )


def _json(process: int | None) -> dict[str, Any]:
    return {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": ["levelname", "name", "message"],
        "rename_fields": {"levelname": "level", "name": "logger"},
        "timestamp": "time",
        "static_fields": {} if process is None else {"process": process},
    }
