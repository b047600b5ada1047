"""The errors of sagakit: one tree, ordered by who has to act.

    SagakitError
    ├── CallerError        the call is wrong: correct its arguments
    ├── DefinitionError    the `Saga` class is wrong: correct the class
    ├── CannotMigrate      a `migrate()` does not cover a saga: extend it
    ├── SagaStuck          a saga waits for a person: remove the cause, then say how it continues
    ├── SagaFailed         a saga turned back: its fields say why, and which steps were undone
    ├── NoWorker           a saga waits for a worker that can run it: start one, or write a `migrate()`
    ├── StoreError         the store refused or is away: wait, or correct the server
    │   └── KvError        the same, for one key of a bucket
    ├── ServerError        the server cannot be used as it is: correct its settings or the URL
    └── InternalError      sagakit is wrong: please report it

Fields carry the facts; the text says what to do next. sagakit raises these errors; a program only catches them.

error_tree          the root of the tree, and the bugs of sagakit
caller_errors       mistakes in a call
definition_errors   mistakes in a `Saga` class
saga_errors         sagas that do not continue, or that have turned back
store_errors        refusals and outages of the store
server_errors       servers that cannot be used
error_codes         exit codes and HTTP statuses of errors
"""

from sagakit.errors.caller_errors import AlreadyStarted as AlreadyStarted
from sagakit.errors.caller_errors import CallerError as CallerError
from sagakit.errors.caller_errors import DoesNotFit as DoesNotFit
from sagakit.errors.caller_errors import InputTooLarge as InputTooLarge
from sagakit.errors.caller_errors import InvalidConfig as InvalidConfig
from sagakit.errors.caller_errors import InvalidFilter as InvalidFilter
from sagakit.errors.caller_errors import InvalidId as InvalidId
from sagakit.errors.caller_errors import InvalidInput as InvalidInput
from sagakit.errors.caller_errors import InvalidName as InvalidName
from sagakit.errors.caller_errors import JobHeld as JobHeld
from sagakit.errors.caller_errors import NotAllowed as NotAllowed
from sagakit.errors.caller_errors import NotRegistered as NotRegistered
from sagakit.errors.caller_errors import RuntimeClosed as RuntimeClosed
from sagakit.errors.caller_errors import TooLate as TooLate
from sagakit.errors.caller_errors import UnknownJob as UnknownJob
from sagakit.errors.caller_errors import UnknownLetter as UnknownLetter
from sagakit.errors.caller_errors import UnknownSaga as UnknownSaga
from sagakit.errors.caller_errors import UnreadableValue as UnreadableValue
from sagakit.errors.caller_errors import Unwritable as Unwritable
from sagakit.errors.caller_errors import WrongContext as WrongContext
from sagakit.errors.definition_errors import CannotMigrate as CannotMigrate
from sagakit.errors.definition_errors import DefinitionError as DefinitionError
from sagakit.errors.definition_errors import PlanChanged as PlanChanged
from sagakit.errors.definition_errors import SchemaChanged as SchemaChanged
from sagakit.errors.error_codes import ERROR_CODES as ERROR_CODES
from sagakit.errors.error_codes import codes_of as codes_of
from sagakit.errors.error_tree import UNREADABLE as UNREADABLE
from sagakit.errors.error_tree import IllegalTransition as IllegalTransition
from sagakit.errors.error_tree import InternalError as InternalError
from sagakit.errors.error_tree import SagakitError as SagakitError
from sagakit.errors.saga_errors import NoWorker as NoWorker
from sagakit.errors.saga_errors import SagaFailed as SagaFailed
from sagakit.errors.saga_errors import SagaStuck as SagaStuck
from sagakit.errors.server_errors import BadBucket as BadBucket
from sagakit.errors.server_errors import BadLayout as BadLayout
from sagakit.errors.server_errors import CannotConnect as CannotConnect
from sagakit.errors.server_errors import JetStreamOff as JetStreamOff
from sagakit.errors.server_errors import JobsMissing as JobsMissing
from sagakit.errors.server_errors import LayoutMissing as LayoutMissing
from sagakit.errors.server_errors import LoginRefused as LoginRefused
from sagakit.errors.server_errors import OtherDomain as OtherDomain
from sagakit.errors.server_errors import PayloadTooSmall as PayloadTooSmall
from sagakit.errors.server_errors import ServerError as ServerError
from sagakit.errors.server_errors import ServerTooOld as ServerTooOld
from sagakit.errors.store_errors import Ambiguous as Ambiguous
from sagakit.errors.store_errors import Conflict as Conflict
from sagakit.errors.store_errors import Deleted as Deleted
from sagakit.errors.store_errors import Fenced as Fenced
from sagakit.errors.store_errors import KvError as KvError
from sagakit.errors.store_errors import NewerSchema as NewerSchema
from sagakit.errors.store_errors import NoResponders as NoResponders
from sagakit.errors.store_errors import NotPermitted as NotPermitted
from sagakit.errors.store_errors import Overwritten as Overwritten
from sagakit.errors.store_errors import Refused as Refused
from sagakit.errors.store_errors import StoreError as StoreError
from sagakit.errors.store_errors import StoreFull as StoreFull
from sagakit.errors.store_errors import StreamMissing as StreamMissing
from sagakit.errors.store_errors import TooLarge as TooLarge
from sagakit.errors.store_errors import Unavailable as Unavailable
from sagakit.errors.store_errors import Undecodable as Undecodable
from sagakit.errors.store_errors import ValueLost as ValueLost


def _name_this_package() -> None:
    """Set `__module__` of each error, so that tracebacks show the name to import, not the file that has the class."""
    for error in globals().values():
        if isinstance(error, type) and issubclass(error, SagakitError):
            error.__module__ = __name__


_name_this_package()
