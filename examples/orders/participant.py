"""The base of a service that keeps the participant contract, on SQLite.

- An action is idempotent by key: the same key gets the same answer, a stored refusal too.
- A compensation tolerates "never happened", and makes its action's key unusable: an action that arrives after its undo
  is refused.
- A check that answers "not done" makes the key unusable, too: the action did not happen and no longer can.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from examples.orders.domain import Refused
from examples.orders.weather import Weather

T = TypeVar("T")

KEYS = """
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, state TEXT NOT NULL, answer BLOB);
CREATE TABLE IF NOT EXISTS effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL);
"""


class Participant:
    """The database of one service, in a file or in memory. For any thread; several processes may open the file."""

    schema = ""

    def __init__(self, path: Path | None, weather: Weather) -> None:
        self._weather = weather
        self._lock = threading.Lock()
        self.db = sqlite3.connect(path or ":memory:", timeout=30, isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self.db.close)  # of a double in memory that nobody closes
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(KEYS + self.schema)

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction. Commit at the end; roll back if the body raises."""
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:  # a cancelled call leaves nothing half done either
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def act(self, key: str, kind: str, type: type[T], do: Callable[[sqlite3.Connection], T]) -> T:
        """Act once under this key and return the answer. Raises Refused, and the errors of the weather."""
        self._weather.before(key)
        answer = self._act(key, kind, type, do)
        self._weather.after(key)
        return answer

    def _act(self, key: str, kind: str, type: type[T], do: Callable[[sqlite3.Connection], T]) -> T:
        with self.transaction() as db:
            known = _known(db, key)
            if known is not None:
                return _again(known, type)
            db.execute("SAVEPOINT action")
            try:
                answer = do(db)
            except Refused as refusal:
                db.execute("ROLLBACK TO action")
                _remember(db, key, "refused", refusal.code)
                refused = refusal
            else:
                _remember(db, key, "done", answer)
                _log(db, key, kind, answer)
                return answer
        raise refused

    def undo(
        self, key: str, action_key: str, kind: str, type: type[T], undo: Callable[[sqlite3.Connection, T], None]
    ) -> None:
        """Take back the action of `action_key`, if it happened, and make that key unusable."""
        self._weather.before(key)
        with self.transaction() as db:
            if _known(db, key) is not None:
                return
            known = _known(db, action_key)
            if known is not None and known[0] == "done":
                answer = msgspec.json.decode(known[1], type=type)
                undo(db, answer)
                _log(db, key, kind, answer)
            db.execute("INSERT OR REPLACE INTO keys VALUES (?, 'void', NULL)", (action_key,))
            _remember(db, key, "done", None)
        self._weather.after(key)

    def check(self, action_key: str, type: type[T]) -> T | None:
        """Return the answer given under `action_key`. None means: it did not happen, and from now on it cannot."""
        with self.transaction() as db:
            known = _known(db, action_key)
            if known is not None and known[0] == "done":
                return msgspec.json.decode(known[1], type=type)
            db.execute("INSERT OR REPLACE INTO keys VALUES (?, 'void', NULL)", (action_key,))
            return None


def _known(db: sqlite3.Connection, key: str) -> tuple[str, bytes] | None:
    row: tuple[str, bytes] | None = db.execute("SELECT state, answer FROM keys WHERE key = ?", (key,)).fetchone()
    return row


def _again(known: tuple[str, bytes], type: type[T]) -> T:
    state, answer = known
    if state == "void":
        raise Refused("key_is_void")
    if state == "refused":
        raise Refused(msgspec.json.decode(answer, type=str))
    return msgspec.json.decode(answer, type=type)


def _remember(db: sqlite3.Connection, key: str, state: str, answer: Any) -> None:
    db.execute("INSERT INTO keys VALUES (?, ?, ?)", (key, state, msgspec.json.encode(answer)))


def _log(db: sqlite3.Connection, key: str, kind: str, what: Any) -> None:
    db.execute(
        "INSERT INTO effects (key, kind, what) VALUES (?, ?, ?)", (key, kind, msgspec.json.encode(what).decode())
    )
