"""The language of saga definitions, and its compiler.

saga         Saga: the class that users derive from
decorators   @step
step_overloads  the decorators that @step(...) returns, for type checkers
node_factories  @each, signal, timer, child
remote_steps    remote steps: those that another service does
nodes        all kinds of nodes, as a class body holds them
dependency   the part of a node that type checkers need where a step depends on it
policy       retry policies
step_answers  Reject, Retry, Done, NotDone: exceptions of steps, answers of checks
context      Context: the key and the surroundings of a call
outcome      Completed, Failed: how a saga ended
compiler     from a class to its plan; finds the mistakes
members      the nodes of a class and its bases
type_arguments  the type arguments of its bases
node_compiler  the same for one node, by its kind
node_types   the types that a class body names for its nodes
annotations  the annotated types of a function
local_types  types that are local to a function
functions    checks of functions
options      checks of options
model        a compiled definition
value_codec  values of one type, to JSON and back
payloads     payload codecs: how values are sealed and opened
adapters     classes of other libraries than msgspec
pydantic_adapter  pydantic's models and dataclasses
pydantic_schema  their JSON Schemas, and checks of their types
constraints  annotated_types and pydantic's Field, for msgspec
survival     checks that a value comes back from JSON unchanged
lost_fields  refuses fields of a value that its type does not have
nesting      the limit on the nesting of a value
misfits      the part of a value that does not fit
raised       exceptions of user code, in words
user_lines   the line of user code that an exception comes from
old_saga     OldSaga: the argument of migrate()
plan         the plan: a definition as data
schemas      the JSON Schemas of a definition
json_schema  the schema of a type
compatibility  can values of one schema be read under another?
schema_nodes  parts and references of schemas
bounds       comparison of the bounds of two schemas
shapes       descriptions of schemas in a few words
diagram      a plan as a Mermaid flowchart
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagakit.definition.compatibility import accepts as accepts
    from sagakit.definition.context import Context as Context
    from sagakit.definition.decorators import step as step
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
    from sagakit.definition.remote_steps import MaybeRemote as MaybeRemote
    from sagakit.definition.remote_steps import Remote as Remote
    from sagakit.definition.remote_steps import remote as remote
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
    from sagakit.definition.value_codec import Codec as Codec
else:
    from sagakit.lazy_names import lazy_names

    # a client, and a tool that looks at sagas, need the plan alone
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "sagakit.definition.compatibility": "accepts",
            "sagakit.definition.context": "Context",
            "sagakit.definition.decorators": "step",
            "sagakit.definition.model": "Definition Function NodeDefinition",
            "sagakit.definition.node_factories": "child each signal timer",
            "sagakit.definition.nodes": "CheckedStep Child EachStep MaybeChild MaybeEachStep "
            "Node Signal Step Timer Undo",
            "sagakit.definition.old_saga": "OldSaga",
            "sagakit.definition.outcome": "Completed Failed Outcome",
            "sagakit.definition.plan": "NodePlan Plan Retries UndoPlan",
            "sagakit.definition.policy": "FOREVER Limit RetryPolicy",
            "sagakit.definition.remote_steps": "MaybeRemote Remote remote",
            "sagakit.definition.saga": "Saga compiled",
            "sagakit.definition.schemas": "SagaSchema saga_schema schema_digest unreadable_parts",
            "sagakit.definition.step_answers": "Done NotDone Reject Retry",
            "sagakit.definition.value_codec": "Codec",
        },
    )
