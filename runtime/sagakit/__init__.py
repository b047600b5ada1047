"""sagakit: sagas on trio and NATS JetStream.

definition   what a user writes: Saga, step, retry policies; compiled to a plan
engine       pure rules: record x input event -> record; record -> effects
store        the ports, names on the wire, the store in memory
jetstream    the link and the adapters; the embedded server
system       the actors: sagas, persistence, publisher, timers
cluster      worker: lease, recovery
client       Runtime and Handle
asyncio      the same for asyncio programs
cli          the command `sagakit`
errors       every error, as one tree
"""

from sagakit.client.api import RuntimeApi as RuntimeApi
from sagakit.client.description import Description as Description
from sagakit.client.executor import SagaExecutor as SagaExecutor
from sagakit.client.handle import Handle as Handle
from sagakit.client.listing import Page as Page
from sagakit.client.listing import SagaInfo as SagaInfo
from sagakit.client.listing import Unreadable as Unreadable
from sagakit.client.runtime import Runtime as Runtime
from sagakit.client.runtime import open_runtime as open_runtime
from sagakit.client.script import run as run
from sagakit.definition import FOREVER as FOREVER
from sagakit.definition import CheckedStep as CheckedStep
from sagakit.definition import Child as Child
from sagakit.definition import Completed as Completed
from sagakit.definition import Ctx as Ctx
from sagakit.definition import Done as Done
from sagakit.definition import EachStep as EachStep
from sagakit.definition import Failed as Failed
from sagakit.definition import Limit as Limit
from sagakit.definition import MaybeChild as MaybeChild
from sagakit.definition import MaybeEachStep as MaybeEachStep
from sagakit.definition import Node as Node
from sagakit.definition import NotDone as NotDone
from sagakit.definition import OldSaga as OldSaga
from sagakit.definition import Outcome as Outcome
from sagakit.definition import Reject as Reject
from sagakit.definition import Retry as Retry
from sagakit.definition import RetryPolicy as RetryPolicy
from sagakit.definition import Saga as Saga
from sagakit.definition import Signal as Signal
from sagakit.definition import Step as Step
from sagakit.definition import Timer as Timer
from sagakit.definition import child as child
from sagakit.definition import each as each
from sagakit.definition import signal as signal
from sagakit.definition import step as step
from sagakit.definition import timer as timer
from sagakit.engine import PersistedSagaState as PersistedSagaState
from sagakit.errors import AlreadyStarted as AlreadyStarted
from sagakit.errors import CallerError as CallerError
from sagakit.errors import DefinitionError as DefinitionError
from sagakit.errors import KvError as KvError
from sagakit.errors import NotAllowed as NotAllowed
from sagakit.errors import SagakitError as SagakitError
from sagakit.errors import ServerError as ServerError
from sagakit.errors import StoreError as StoreError
from sagakit.errors import TooLate as TooLate
from sagakit.errors import UnknownSaga as UnknownSaga
from sagakit.system.config import Config as Config

__all__ = [
    "FOREVER",
    "AlreadyStarted",
    "CallerError",
    "CheckedStep",
    "Child",
    "Completed",
    "Config",
    "Ctx",
    "DefinitionError",
    "Description",
    "Done",
    "EachStep",
    "Failed",
    "Handle",
    "KvError",
    "Limit",
    "MaybeChild",
    "MaybeEachStep",
    "Node",
    "NotAllowed",
    "NotDone",
    "OldSaga",
    "Outcome",
    "Page",
    "PersistedSagaState",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Runtime",
    "RuntimeApi",
    "Saga",
    "SagaExecutor",
    "SagaInfo",
    "SagakitError",
    "ServerError",
    "Signal",
    "Step",
    "StoreError",
    "Timer",
    "TooLate",
    "UnknownSaga",
    "Unreadable",
    "child",
    "each",
    "open_runtime",
    "run",
    "signal",
    "step",
    "timer",
]
