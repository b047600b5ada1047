"""The number of tests that run on each face of clients and runtimes: `python -m tests.client.counts`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO

import pytest

SUITES = ("tests/client", "tests/test_faces.py", "tests/test_asyncio.py", "tests/test_asyncio_threads.py")
"""Tests of what a program holds. The other tests use one of the faces to test something else."""
OPENED_BY: Mapping[object, str] = {
    "asyncio": "sagakit.asyncio.open_client",
    "trio": "sagakit.open_client",
    "runtime": "sagakit.open_runtime",
    "Runtime": "sagakit.open_runtime",
    "AsyncioRuntime": "sagakit.asyncio.open_runtime",
}
"""The function that opens a face, by the words for the face in the ids of tests."""
MODULES: Mapping[str, str] = {
    "test_asyncio": "sagakit.asyncio.open_runtime",
    "test_asyncio_threads": "sagakit.asyncio.open_runtime",
}
"""The same for modules whose tests all run on one face."""


class Collected:
    """A plugin of pytest that keeps the tests which were found."""

    def __init__(self) -> None:
        self.tests: Sequence[pytest.Item] = ()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the tests of the session."""
        self.tests = session.items


def face_of(test: pytest.Item) -> str | None:
    """Return the function that opens the face on which a test runs; None if it runs on no face, or on several."""
    words = test.name.partition("[")[2].rstrip("]").split("-")
    named = {OPENED_BY[word] for word in words if word in OPENED_BY}
    return named.pop() if len(named) == 1 else MODULES.get(test.path.stem)


def counted(suites: Sequence[str] = SUITES) -> Mapping[str, int]:
    """Return the number of tests by face. Raises RuntimeError with the words of pytest if they cannot be found."""
    collected, printed = Collected(), StringIO()
    with redirect_stdout(printed):
        code = pytest.main(["--collect-only", "-q", "-n", "0", *suites], plugins=[collected])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(printed.getvalue())
    faces = Counter(face_of(test) or "none of them alone" for test in collected.tests)
    return dict(sorted(faces.items()))


def main() -> None:
    """Print the counts."""
    for face, number in counted(sys.argv[1:] or SUITES).items():
        print(f"{number:5} {face}")


if __name__ == "__main__":
    main()
