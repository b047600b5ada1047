"""The engine: the pure rules of one saga. It has no I/O, no clock, no trio and no randomness.

table               the transition tables, as data, with the rules that they encode at the top
record              the record: everything that is known of one saga; its steps are the step log
codec               encoding and decoding of records, which keeps unknown fields
inputs              the input events: everything that may happen to a saga
results             the results of an attempt
details             cutting a refusal's detail to the room that there is
turn                the workbench of one `apply`: a draft that moves only along the tables
readiness           the nodes that may begin now
definition_answers  the definition's answers to the engine's questions
beginning           beginning a node, by its kind
forward             the end of an attempt of an action or a check
backward            compensation
undo_requests       cancel and deadline
delay               a saga that waits for its start, and its beginning
inbound             messages from callers, participants, operators, parents and children
remote              attempts that participants make: replies, and their absence
family              messages between parents and children, and proof of their origin
operator            the operator's verbs for a saga that is stuck
audit               the events that tell who gave which verb, and why
verdicts            the verdict on each message, kept as long as the record
apply               `create` and `apply`: record x input events -> record
effects             `effects`, `questions`, `goes_on`: the work that a record asks its owner to do
oversize            a record that has become too large to be written
events              the CloudEvents that a saga publishes
carried             values that events carry: input, results, output
item_ranges         values that many items share, in the few bytes of an event
replay              the states of a saga, folded from its events alone
rebuilding          a record that was lost, from its events
value_places        the saga and the part that a value belongs to
keys                idempotency keys, and the ids of children
migration           moving a saga to another version of its definition
value_claims        references in a record to large values that are stored beside it
"""

from sagakit.engine.apply import apply as apply
from sagakit.engine.apply import awaits_isolation as awaits_isolation
from sagakit.engine.apply import create as create
from sagakit.engine.apply import stamped as stamped
from sagakit.engine.backward import to_undo as to_undo
from sagakit.engine.codec import Loaded as Loaded
from sagakit.engine.codec import RecordHeader as RecordHeader
from sagakit.engine.codec import UnknownFields as UnknownFields
from sagakit.engine.codec import decode as decode
from sagakit.engine.codec import digest as digest
from sagakit.engine.codec import encode as encode
from sagakit.engine.codec import encode_marker as encode_marker
from sagakit.engine.codec import foreign as foreign
from sagakit.engine.codec import is_started_by as is_started_by
from sagakit.engine.codec import marker_of as marker_of
from sagakit.engine.codec import read_header as read_header
from sagakit.engine.effects import Call as Call
from sagakit.engine.effects import Decide as Decide
from sagakit.engine.effects import Effect as Effect
from sagakit.engine.effects import Finish as Finish
from sagakit.engine.effects import MakeOutput as MakeOutput
from sagakit.engine.effects import MindSilence as MindSilence
from sagakit.engine.effects import Prepare as Prepare
from sagakit.engine.effects import Publish as Publish
from sagakit.engine.effects import Question as Question
from sagakit.engine.effects import SendCommand as SendCommand
from sagakit.engine.effects import TellParent as TellParent
from sagakit.engine.effects import WakeAt as WakeAt
from sagakit.engine.effects import effects as effects
from sagakit.engine.effects import goes_on as goes_on
from sagakit.engine.effects import questions as questions
from sagakit.engine.events import event_id as event_id
from sagakit.engine.inbound import trial as trial
from sagakit.engine.inbound import verdict_of as verdict_of
from sagakit.engine.inputs import Adopted as Adopted
from sagakit.engine.inputs import AttemptEnded as AttemptEnded
from sagakit.engine.inputs import CommandSent as CommandSent
from sagakit.engine.inputs import Decided as Decided
from sagakit.engine.inputs import GaveUp as GaveUp
from sagakit.engine.inputs import Inbound as Inbound
from sagakit.engine.inputs import InboundKind as InboundKind
from sagakit.engine.inputs import InputEvent as InputEvent
from sagakit.engine.inputs import Isolated as Isolated
from sagakit.engine.inputs import Orphaned as Orphaned
from sagakit.engine.inputs import OutputMade as OutputMade
from sagakit.engine.inputs import Prepared as Prepared
from sagakit.engine.inputs import Published as Published
from sagakit.engine.inputs import ReplyAnswer as ReplyAnswer
from sagakit.engine.inputs import Sender as Sender
from sagakit.engine.inputs import Unanswered as Unanswered
from sagakit.engine.keys import child_id as child_id
from sagakit.engine.keys import sender_of as sender_of
from sagakit.engine.migration import migrated as migrated
from sagakit.engine.record import EndMarker as EndMarker
from sagakit.engine.record import Failure as Failure
from sagakit.engine.record import OutboxEvent as OutboxEvent
from sagakit.engine.record import Parent as Parent
from sagakit.engine.record import PersistedSagaState as PersistedSagaState
from sagakit.engine.record import Record as Record
from sagakit.engine.record import SagaOutcome as SagaOutcome
from sagakit.engine.record import StepLog as StepLog
from sagakit.engine.remote import overdue as overdue
from sagakit.engine.remote import tells_news as tells_news
from sagakit.engine.results import ArgumentsUnreadable as ArgumentsUnreadable
from sagakit.engine.results import AttemptResult as AttemptResult
from sagakit.engine.results import Compensating as Compensating
from sagakit.engine.results import Complete as Complete
from sagakit.engine.results import Error as Error
from sagakit.engine.results import NotHappened as NotHappened
from sagakit.engine.results import RetryLater as RetryLater
from sagakit.engine.results import StepExecutionResult as StepExecutionResult
from sagakit.engine.table import ENDS as ENDS
from sagakit.engine.table import SagaStatus as SagaStatus
from sagakit.engine.turn import SUSPECT as SUSPECT
from sagakit.engine.turn import Limits as Limits
from sagakit.engine.turn import makes_room as makes_room
from sagakit.engine.verdicts import known_verdict as known_verdict
