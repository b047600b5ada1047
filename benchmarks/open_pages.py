"""Pages of the console that stay open beside a worker at work, and what they cost worker, server and console.

The pages are requests as the script of the console sends them, from this process: a browser with as many pages needs
more of the machine than all that is measured.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from statistics import median

import msgspec

from benchmarks.result import Figures, quantile
from benchmarks.servers import Servers, cpu_of, servers
from benchmarks.web import Answer, Console, Refused, ask, console, visitor
from benchmarks.worker import Task, Worker, worker

WATCHED = 10
"""Waiting sagas, whose pages are looked at in turn."""
MIX = ("overview", "sagas", "sagas", "saga", "saga")
"""The pages that are open, again and again."""
EVERY = 2
"""Seconds after which a page that was refused is asked for again."""
REFRESH = re.compile(r'<body data-refresh="(\d+)"')


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Pages open beside so many sagas a second, for `seconds` with them and as long without, in `pairs`."""

    pages: int = 50
    rate: float = 500.0
    seconds: float = 20.0
    pairs: int = 5

    def scaled(self, scale: float) -> Beside:
        """Return a load of this part of the size, but not of more: a longer one shows no more."""
        part = min(1.0, scale)
        return Beside(
            pages=max(5, int(self.pages * part)),
            rate=max(20.0, self.rate * part),
            seconds=max(1.0, self.seconds * part),
            pairs=max(1, int(self.pairs * part)),
        )


class _Round(msgspec.Struct):
    """CPU seconds of one load, and the milliseconds of the answers meanwhile."""

    worker: float
    server: float
    web: float
    seconds: float
    sagas: int
    answers: list[float]


def beside(load: Beside) -> Figures:
    """Run the load with the pages and without, in turn, on a fresh server."""
    pairs = []
    with servers(sync="relaxed") as running, ExitStack() as stack:
        task = Task(url=running.url, sagas=100, inflight=50, live=WATCHED, rate=load.rate, seconds=load.seconds)
        one = stack.enter_context(worker(task))
        one.read()
        shown = stack.enter_context(console(running.url))  # after the worker, which makes the buckets
        paths = _paths(shown.address, load.pages)
        for number in range(load.pairs):
            order: Sequence[bool] = (False, True) if number % 2 else (True, False)
            found = {opened: _round(one, running, shown, paths if opened else ()) for opened in order}
            pairs.append((found[True], found[False]))
    return _figures(pairs)


def _paths(address: str, pages: int) -> list[str]:
    with visitor(address) as http:
        listed = ask(http, "/api/sagas?where=type=Napping&limit=100").text
    watched = [line["key"].replace(".", "/", 1) for line in msgspec.json.decode(listed)["items"]]
    paths = {"overview": "/", "sagas": "/sagas"}
    return [paths.get(MIX[number % len(MIX)], f"/sagas/{watched[number % len(watched)]}") for number in range(pages)]


def _round(one: Worker, running: Servers, shown: Console, paths: Sequence[str]) -> _Round:
    answers: list[float] = []
    with _open(shown.address, paths, answers):
        server, web = running.cpu(), cpu_of(shown.pid)
        one.write("go")
        report = one.report()
        server, web = running.cpu() - server, cpu_of(shown.pid) - web
    return _Round(report.cpu, server, web, report.ended - report.began, len(report.times), answers)


@contextmanager
def _open(address: str, paths: Sequence[str], answers: list[float]) -> Iterator[None]:
    """Keep pages open: each asks for itself again as often as it says, until the context is left."""
    closing, faults = threading.Event(), list[BaseException]()

    def stay(number: int, path: str) -> None:
        tag, every = "", float(EVERY)
        wait = every * number / len(paths)  # they were opened one after the other
        try:
            while not closing.wait(wait):
                wait = every
                try:
                    found = _look(address, path, tag, age=int(every / 2))
                except Refused as error:  # the script of the console tries again, too
                    print(error, file=sys.stderr)
                    answers.append(inf)
                    continue
                answers.append(found.ms)
                tag, says = found.tag, REFRESH.search(found.text)
                wait = every = every if says is None else float(says[1])
        except BaseException as error:
            faults.append(error)

    pages = [threading.Thread(target=stay, args=(number, path)) for number, path in enumerate(paths)]
    for page in pages:
        page.start()
    try:
        yield
    finally:
        closing.set()
        for page in pages:
            page.join()
    if faults:
        raise faults[0]


def _look(address: str, path: str, tag: str = "", *, age: int = 0) -> Answer:
    with visitor(address) as http:  # a connection of its own: the console closes one that is idle for some seconds
        return ask(http, path, tag, age=age)


def _figures(pairs: Sequence[tuple[_Round, _Round]]) -> Figures:
    """Return the figures of pairs: with the pages, and without."""
    opened = [one for one, _ in pairs]
    answers = sorted(ms for one in opened for ms in one.answers if ms < inf)
    ratios = [one.worker / other.worker for one, other in pairs]
    return {
        "worker_cpu_ratio": median(ratios),
        "worker_cpu_ratio_min": min(ratios),
        "worker_cpu_ratio_max": max(ratios),
        "server_cpu_ratio": median(one.server / max(other.server, 0.01) for one, other in pairs),
        "server_cpu_percent": median(100 * (one.server - other.server) / one.seconds for one, other in pairs),
        "web_cpu_percent": median(100 * one.web / one.seconds for one in opened),
        "web_idle_cpu_percent": median(100 * other.web / other.seconds for _, other in pairs),
        "answers_per_s": len(answers) / sum(one.seconds for one in opened),
        "answer_p50_ms": quantile(answers, 0.5),
        "answer_p99_ms": quantile(answers, 0.99),
        "refused": float(sum(ms == inf for one in opened for ms in one.answers)),
        "sagas_per_s": median(one.sagas / one.seconds for pair in pairs for one in pair),
    }
