"""The testing kit: it proves a saga, with the user's own test doubles, under every fault that can be planned.

schedule    the faults of one run, as data
given       checks of the arguments that the kit is given
simulation  `simulate`: one run on the store in memory, under virtual time
explorer    `explore`: every schedule with a single fault
trace       the record of a run: its calls, events and broken promises
judge       the judge of the promises, who looks from outside
services    the participants of the remote steps: the services, by the real rules, and the faults of their messages
remote_judge  the judge of commands and replies
binding     a binding that watches calls, and makes them go wrong
stubs       `stub`: a saga without its services
strategies  `faults`: a Hypothesis strategy
machine     `SagaMachine`: several workers and fenced zombies as a Hypothesis state machine
contract    the participant contract as a test of a user's own service
plugin      fixtures for pytest
command     the command `sagakit explore`
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagakit.testing.contract import CONTRACT as CONTRACT
    from sagakit.testing.contract import ContractBroken as ContractBroken
    from sagakit.testing.contract import ContractCase as ContractCase
    from sagakit.testing.contract import Participant as Participant
    from sagakit.testing.explorer import Exploration as Exploration
    from sagakit.testing.explorer import Report as Report
    from sagakit.testing.explorer import explore as explore
    from sagakit.testing.machine import SagaMachine as SagaMachine
    from sagakit.testing.machine import machine_of as machine_of
    from sagakit.testing.schedule import CallFault as CallFault
    from sagakit.testing.schedule import Faults as Faults
    from sagakit.testing.schedule import MessageAt as MessageAt
    from sagakit.testing.schedule import RemoteFault as RemoteFault
    from sagakit.testing.schedule import WriteFault as WriteFault
    from sagakit.testing.simulation import Send as Send
    from sagakit.testing.simulation import simulate as simulate
    from sagakit.testing.strategies import faults as faults
    from sagakit.testing.stubs import stub as stub
    from sagakit.testing.trace import BrokenPromise as BrokenPromise
    from sagakit.testing.trace import Called as Called
    from sagakit.testing.trace import CallTrace as CallTrace
    from sagakit.testing.trace import Trace as Trace
else:
    from sagakit.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "sagakit.testing.contract": "CONTRACT ContractBroken ContractCase Participant",
            "sagakit.testing.explorer": "Exploration Report explore",
            "sagakit.testing.machine": "SagaMachine machine_of",
            "sagakit.testing.schedule": "CallFault Faults MessageAt RemoteFault WriteFault",
            "sagakit.testing.simulation": "Send simulate",
            "sagakit.testing.strategies": "faults",
            "sagakit.testing.stubs": "stub",
            "sagakit.testing.trace": "BrokenPromise Called CallTrace Trace",
        },
        extra="testing",
    )
