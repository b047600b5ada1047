"""What a user writes, and what becomes of it.

saga         Saga: the class that a user derives from
decorators   @step
step_overloads  the decorators that @step(...) returns, for type checkers
node_factories  @each, signal, timer, child
nodes        all kinds of nodes, as a class body holds them
dependency   what a step may depend on, for type checkers
policy       retry policies
step_answers  Reject, Retry, Done, NotDone
context      Context
outcome      Completed, Failed
compiler     from a class to its plan; finds every mistake
members      the nodes of a class and its bases
type_arguments  what its bases' type variables stand for
node_compiler  the same for one node, by its kind
annotations  what a function says of its types
local_types  types of fields that are local to a function
functions    what is wrong with a function that was given
options      what options may say
model        a compiled definition
survival     whether a value comes back from JSON as it went in
lost_fields  fields of a value that its type does not have
nesting      how deeply a value may be nested
raised       what a user's code has raised, in words
user_lines   the line that it comes from
old_saga     OldSaga: from one version to the next
plan         the plan: a definition as data
schemas      what a definition keeps, as JSON Schemas
json_schema  the schema of a type
compatibility  whether what one schema describes can be read under another
schema_nodes  parts of schemas, and what references point at
bounds       whether the bounds of one schema are within those of another
shapes       schemas in a few words
diagram      a plan as a Mermaid flowchart
"""

from sagakit.definition.compatibility import accepts as accepts
from sagakit.definition.context import Context as Context
from sagakit.definition.decorators import step as step
from sagakit.definition.model import Codec as Codec
from sagakit.definition.model import Definition as Definition
from sagakit.definition.model import Function as Function
from sagakit.definition.model import NodeDefinition as NodeDefinition
from sagakit.definition.node_factories import child as child
from sagakit.definition.node_factories import each as each
from sagakit.definition.node_factories import signal as signal
from sagakit.definition.node_factories import timer as timer
from sagakit.definition.nodes import CheckedStep as CheckedStep
from sagakit.definition.nodes import Child as Child
from sagakit.definition.nodes import EachStep as EachStep
from sagakit.definition.nodes import MaybeChild as MaybeChild
from sagakit.definition.nodes import MaybeEachStep as MaybeEachStep
from sagakit.definition.nodes import Node as Node
from sagakit.definition.nodes import Signal as Signal
from sagakit.definition.nodes import Step as Step
from sagakit.definition.nodes import Timer as Timer
from sagakit.definition.nodes import Undo as Undo
from sagakit.definition.old_saga import OldSaga as OldSaga
from sagakit.definition.outcome import Completed as Completed
from sagakit.definition.outcome import Failed as Failed
from sagakit.definition.outcome import Outcome as Outcome
from sagakit.definition.plan import NodePlan as NodePlan
from sagakit.definition.plan import Plan as Plan
from sagakit.definition.plan import Retries as Retries
from sagakit.definition.plan import UndoPlan as UndoPlan
from sagakit.definition.policy import FOREVER as FOREVER
from sagakit.definition.policy import Limit as Limit
from sagakit.definition.policy import RetryPolicy as RetryPolicy
from sagakit.definition.saga import Saga as Saga
from sagakit.definition.saga import compiled as compiled
from sagakit.definition.schemas import SagaSchema as SagaSchema
from sagakit.definition.schemas import saga_schema as saga_schema
from sagakit.definition.schemas import schema_digest as schema_digest
from sagakit.definition.schemas import unreadable_parts as unreadable_parts
from sagakit.definition.step_answers import Done as Done
from sagakit.definition.step_answers import NotDone as NotDone
from sagakit.definition.step_answers import Reject as Reject
from sagakit.definition.step_answers import Retry as Retry
