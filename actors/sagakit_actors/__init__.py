"""Actors on trio: mailboxes, typed references, supervisors. Knows nothing of sagas or NATS.

actor        Actor (one incarnation), Context (what it sees)
ref          Ref: tell, ask
reply        Reply: the slot for an answer
mailbox      bounded, with priorities and an overflow policy
notices      Down: a death notice
target       an actor as its references see it: protocols
flag         an event that is small while nobody waits
reactor      Reactor: an actor without a task; ReactorContext, ReactorSpec
helpers      the tasks that do reactors' side work
cell         what an actor is to the runtime
tasks        actors with a task each; ChildSpec
supervisor   a fixed list of children; one_for_one, one_for_all, rest_for_one
dynamic      children that come and go, with backoff
backoff      Backoff, Intensity: pure
system       a tree in a trio program
current      which actor a task belongs to, for finding call cycles
errors       what can go wrong
"""

from sagakit_actors.actor import Actor as Actor
from sagakit_actors.actor import ActorContext as ActorContext
from sagakit_actors.backoff import Backoff as Backoff
from sagakit_actors.backoff import Intensity as Intensity
from sagakit_actors.cell import Restart as Restart
from sagakit_actors.dynamic import DynamicSupervisor as DynamicSupervisor
from sagakit_actors.errors import ActorDied as ActorDied
from sagakit_actors.errors import ActorError as ActorError
from sagakit_actors.errors import ActorGone as ActorGone
from sagakit_actors.errors import AskTimeout as AskTimeout
from sagakit_actors.errors import CallCycle as CallCycle
from sagakit_actors.errors import MailboxFull as MailboxFull
from sagakit_actors.errors import RestartIntensityExceeded as RestartIntensityExceeded
from sagakit_actors.errors import StartFailed as StartFailed
from sagakit_actors.errors import StopRequested as StopRequested
from sagakit_actors.errors import TooManyChildren as TooManyChildren
from sagakit_actors.mailbox import Overflow as Overflow
from sagakit_actors.notices import Down as Down
from sagakit_actors.reactor import Reactor as Reactor
from sagakit_actors.reactor import ReactorContext as ReactorContext
from sagakit_actors.reactor import ReactorSpec as ReactorSpec
from sagakit_actors.ref import Ref as Ref
from sagakit_actors.reply import Reply as Reply
from sagakit_actors.supervisor import ChildInfo as ChildInfo
from sagakit_actors.supervisor import Strategy as Strategy
from sagakit_actors.supervisor import Supervisor as Supervisor
from sagakit_actors.system import System as System
from sagakit_actors.system import open_system as open_system
from sagakit_actors.tasks import ChildSpec as ChildSpec
