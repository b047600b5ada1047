"""sagakit: sagas on trio and NATS JetStream.

    from sagakit import Context, Saga, step, run

    class BookTrip(Saga[str]):
        @step
        async def hotel(self, city: str, ctx: Context) -> str: ...

        @hotel.compensate
        async def cancel_hotel(self, city: str, booking: str | None, ctx: Context) -> None: ...

    print(run(BookTrip(), "trip-1", "Rome"))

Write a `Saga` with `step`, `each`, `child`, `signal`, `timer` and `remote`. A worker runs sagas: `open_runtime`, or the
command `sagakit worker`. Other programs start and see them: `open_client`. For asyncio programs `sagakit.asyncio` has
the same. `sagakit.testing` tests sagas, `sagakit.participant` serves remote steps, `sagakit.errors` has all errors.
The packages are:

definition   what a user writes: Saga, step, retry policies; compiled to a plan
engine       pure rules: record x input event -> record; record -> effects
tracing      spans of sagas, made of their records; the ports through which they leave
repository   filters for stored sagas
store        the ports, names on the wire, the store in memory
messages     messages to sagas: their form, their checks, their ids
jetstream    the link and the adapters; the embedded server
binding      the border to user code: calls it, and classifies what comes back
system       the actors: sagas, persistence, publisher, timers
cluster      worker: lease, recovery
client       Runtime and Handle
asyncio      the same for asyncio programs
contract     what sagas exchange with others, as AsyncAPI documents
doctor       coded checks of server, streams, fleet and sagas
encryption   Encrypted: a payload codec with AES-GCM
prometheus   the metrics of a runtime, for a Prometheus registry
otel         traces of sagas through OpenTelemetry
outbox       sagas that a database transaction starts
participant  services that do steps of sagas which run elsewhere
projection   read models over the events of sagas, in a user's database
web          the console and the HTTP API, as an ASGI app
testing      the kit for the tests of a user: simulate, explore, fixtures
cli          the command `sagakit`
errors       every error, as one tree
extras       the extras of the package, and what a program says that lacks one
lazy_names   exported names that are imported when they are first asked for
naming       what names may be, and the nearest one to a misspelt one
ration       how many lines a minute the log gets of one kind
release      the release of sagakit that is installed
sql          statements on connections of any DB-API driver and of SQLAlchemy
times        moments and seconds
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagakit.client.api import RuntimeApi as RuntimeApi
    from sagakit.client.client import Client as Client
    from sagakit.client.client_api import ClientApi as ClientApi
    from sagakit.client.client_opening import open_client as open_client
    from sagakit.client.description import Description as Description
    from sagakit.client.executor import SagaExecutor as SagaExecutor
    from sagakit.client.handle import Handle as Handle
    from sagakit.client.opening import open_runtime as open_runtime
    from sagakit.client.runtime import Runtime as Runtime
    from sagakit.client.script import run as run
    from sagakit.client.watching import SagaEvent as SagaEvent
    from sagakit.definition import FOREVER as FOREVER
    from sagakit.definition import CheckedStep as CheckedStep
    from sagakit.definition import Child as Child
    from sagakit.definition import Completed as Completed
    from sagakit.definition import Context as Context
    from sagakit.definition import Done as Done
    from sagakit.definition import EachStep as EachStep
    from sagakit.definition import Failed as Failed
    from sagakit.definition import Limit as Limit
    from sagakit.definition import MaybeChild as MaybeChild
    from sagakit.definition import MaybeEachStep as MaybeEachStep
    from sagakit.definition import MaybeRemote as MaybeRemote
    from sagakit.definition import Node as Node
    from sagakit.definition import NotDone as NotDone
    from sagakit.definition import OldSaga as OldSaga
    from sagakit.definition import Outcome as Outcome
    from sagakit.definition import Reject as Reject
    from sagakit.definition import Remote as Remote
    from sagakit.definition import Retry as Retry
    from sagakit.definition import RetryPolicy as RetryPolicy
    from sagakit.definition import Saga as Saga
    from sagakit.definition import Signal as Signal
    from sagakit.definition import Step as Step
    from sagakit.definition import Timer as Timer
    from sagakit.definition import child as child
    from sagakit.definition import each as each
    from sagakit.definition import remote as remote
    from sagakit.definition import signal as signal
    from sagakit.definition import step as step
    from sagakit.definition import timer as timer
    from sagakit.definition.payloads import Compressed as Compressed
    from sagakit.definition.payloads import PayloadCodec as PayloadCodec
    from sagakit.definition.payloads import PayloadPlace as PayloadPlace
    from sagakit.definition.payloads import Sealed as Sealed
    from sagakit.engine import PersistedSagaState as PersistedSagaState
    from sagakit.engine import SagaStatus as SagaStatus
    from sagakit.errors import AlreadyStarted as AlreadyStarted
    from sagakit.errors import CallerError as CallerError
    from sagakit.errors import CannotConnect as CannotConnect
    from sagakit.errors import DefinitionError as DefinitionError
    from sagakit.errors import Deleted as Deleted
    from sagakit.errors import InputTooLarge as InputTooLarge
    from sagakit.errors import InvalidConfig as InvalidConfig
    from sagakit.errors import InvalidFilter as InvalidFilter
    from sagakit.errors import InvalidId as InvalidId
    from sagakit.errors import InvalidInput as InvalidInput
    from sagakit.errors import InvalidName as InvalidName
    from sagakit.errors import KvError as KvError
    from sagakit.errors import LoginRefused as LoginRefused
    from sagakit.errors import NotAllowed as NotAllowed
    from sagakit.errors import NotPermitted as NotPermitted
    from sagakit.errors import NotRegistered as NotRegistered
    from sagakit.errors import NoWorker as NoWorker
    from sagakit.errors import PlanChanged as PlanChanged
    from sagakit.errors import RuntimeClosed as RuntimeClosed
    from sagakit.errors import SagaFailed as SagaFailed
    from sagakit.errors import SagakitError as SagakitError
    from sagakit.errors import SagaStuck as SagaStuck
    from sagakit.errors import SchemaChanged as SchemaChanged
    from sagakit.errors import ServerError as ServerError
    from sagakit.errors import StoreError as StoreError
    from sagakit.errors import StoreFull as StoreFull
    from sagakit.errors import TooLate as TooLate
    from sagakit.errors import Unavailable as Unavailable
    from sagakit.errors import Undecodable as Undecodable
    from sagakit.errors import UnknownSaga as UnknownSaga
    from sagakit.messages.commands import Command as Command
    from sagakit.messages.commands import CommandMessage as CommandMessage
    from sagakit.release import __version__ as __version__
    from sagakit.repository.listing import Page as Page
    from sagakit.repository.listing import SagaInfo as SagaInfo
    from sagakit.repository.listing import UnreadableRecord as UnreadableRecord
    from sagakit.system.config import Config as Config
else:
    from sagakit.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "sagakit.client.api": "RuntimeApi",
            "sagakit.client.client": "Client",
            "sagakit.client.client_api": "ClientApi",
            "sagakit.client.client_opening": "open_client",
            "sagakit.client.description": "Description",
            "sagakit.client.executor": "SagaExecutor",
            "sagakit.client.handle": "Handle",
            "sagakit.client.opening": "open_runtime",
            "sagakit.client.runtime": "Runtime",
            "sagakit.client.script": "run",
            "sagakit.client.watching": "SagaEvent",
            "sagakit.definition": (
                "FOREVER CheckedStep Child Completed Context Done EachStep Failed Limit MaybeChild MaybeEachStep "
                "MaybeRemote Node NotDone OldSaga Outcome Reject Remote Retry RetryPolicy Saga Signal Step Timer child "
                "each remote signal step timer"
            ),
            "sagakit.definition.payloads": "Compressed PayloadCodec PayloadPlace Sealed",
            "sagakit.engine": "PersistedSagaState SagaStatus",
            "sagakit.errors": (
                "AlreadyStarted CallerError CannotConnect DefinitionError Deleted InputTooLarge InvalidConfig "
                "InvalidFilter InvalidId InvalidInput InvalidName KvError LoginRefused NotAllowed NotPermitted "
                "NotRegistered NoWorker PlanChanged RuntimeClosed SagaFailed SagakitError SagaStuck SchemaChanged "
                "ServerError StoreError StoreFull TooLate Unavailable Undecodable UnknownSaga"
            ),
            "sagakit.messages.commands": "Command CommandMessage",
            "sagakit.repository.listing": "Page SagaInfo UnreadableRecord",
            "sagakit.release": "__version__",
            "sagakit.system.config": "Config",
        },
    )
