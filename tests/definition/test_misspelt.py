"""A misspelt option of anything that a definition is made of is refused with the nearest that there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sagakit import DefinitionError, Limit, RetryPolicy, child, each, remote, signal, step, timer

from tests.sagas import BookTrip

ANY: Any = [step, each, signal, timer, child, remote, RetryPolicy, Limit]
_step, _each, _signal, _timer, _child, _remote, _RetryPolicy, _Limit = ANY
node: Any = BookTrip.hotel

MISSPELT: dict[str, tuple[Callable[[], Any], str]] = {
    "step": (lambda: _step(pivoted=True), r"step\(pivoted=\.\.\.\): .*did you mean 'pivot'"),
    "step_with_nodes": (lambda: _step(node, time_out=1), r"step\(time_out=\.\.\.\): .*did you mean 'timeout'"),
    "each": (lambda: _each(node, max_concurent=2), r"each\(max_concurent=\.\.\.\): .*did you mean 'max_concurrent'"),
    "signal": (lambda: _signal(str, on_time_out="continue"), "did you mean 'on_timeout'"),
    "timer": (lambda: _timer(timedelta(1), afer=()), "did you mean 'after'"),
    "remote": (lambda: _remote("a.b", str, send=len, on_unkown="ask"), "did you mean 'on_unknown'"),
    "child": (lambda: _child(BookTrip, len, wen=len), "did you mean 'when'"),
    "compensate": (lambda: node.compensate(retries=1), r"compensate\(retries=\.\.\.\): .*did you mean 'retry'"),
    "policy": (lambda: _RetryPolicy(attempts=3), r"RetryPolicy\(attempts=.*did you mean 'max_attempts'"),
    "limit": (lambda: _Limit("mail", per_sec=3), r"Limit\(per_sec=.*did you mean 'per_second'"),
    "of_the_policy": (lambda: _step(reject_on=OSError), r"no such option: write retry=RetryPolicy\(reject_on=\.\.\.\)"),
    "of_the_policy_of_an_undo": (lambda: node.compensate(max_attempts=3), r"write retry=RetryPolicy\(max_attempts="),
    "of_the_limit": (
        lambda: _each(node, per_second=3),
        r"no such option: write limit=Limit\(name, per_second=\.\.\.\)",
    ),
    "like_nothing": (lambda: _step(xyz=1), r"step\(xyz=\.\.\.\): there is no such option; there are: on_unknown, when"),
}


@pytest.mark.parametrize("kind", MISSPELT)
def test_a_misspelt_option_is_refused_with_the_nearest(kind: str) -> None:
    make, says = MISSPELT[kind]
    with pytest.raises(DefinitionError, match=says):
        make()
