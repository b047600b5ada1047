"""The kit: prove a saga, with its own doubles, under every fault that can be planned. For users as for our own suite.

schedule    what is to go wrong, as data
given       refuses what the kit cannot make anything of
simulation  simulate: one run on the store in memory, under virtual time
explorer    explore: every schedule with a single fault
trace       what a run did
judge       the promises, judged from outside
binding     watches calls, and makes them go wrong
stubs       stub: a saga without its services
strategies  faults: a Hypothesis strategy
machine     SagaMachine: several workers and fenced zombies as a Hypothesis state machine
contract    the participant contract as a test of a user's own service
plugin      fixtures for pytest
command     sagakit explore
"""

from typing import TYPE_CHECKING, Any

from sagakit.testing.contract import CONTRACT as CONTRACT
from sagakit.testing.contract import ContractBroken as ContractBroken
from sagakit.testing.contract import ContractCase as ContractCase
from sagakit.testing.contract import Participant as Participant
from sagakit.testing.explorer import Exploration as Exploration
from sagakit.testing.explorer import Report as Report
from sagakit.testing.explorer import explore as explore
from sagakit.testing.schedule import CallFault as CallFault
from sagakit.testing.schedule import Faults as Faults
from sagakit.testing.schedule import MessageAt as MessageAt
from sagakit.testing.schedule import WriteFault as WriteFault
from sagakit.testing.simulation import Send as Send
from sagakit.testing.simulation import simulate as simulate
from sagakit.testing.stubs import stub as stub
from sagakit.testing.trace import BrokenPromise as BrokenPromise
from sagakit.testing.trace import Called as Called
from sagakit.testing.trace import CallTrace as CallTrace
from sagakit.testing.trace import Trace as Trace

if TYPE_CHECKING:
    from sagakit.testing.machine import SagaMachine as SagaMachine
    from sagakit.testing.machine import machine_of as machine_of
    from sagakit.testing.strategies import faults as faults

_HYPOTHESIS = {
    "faults": "strategies",
    "machine_of": "machine",
    "SagaMachine": "machine",
}


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is imported when it is asked for."""
    if name not in _HYPOTHESIS:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"sagakit.testing.{_HYPOTHESIS[name]}"), name)
