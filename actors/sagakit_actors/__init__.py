"""sagakit_actors is an actor library on trio: mailboxes, typed references, supervisors.

It knows nothing of sagas or NATS. sagakit's runtime is built on it, and any trio program may use it.

An actor is an object with a mailbox. It handles one message at a time, so its state needs no lock. The rest of the
program holds a `Ref`, which sends messages. A supervisor starts actors and replaces those that crash. One life of an
actor, from a start to an end, is an *incarnation*; its `Ref` and its mailbox stay the same over all incarnations:

    from functools import partial
    from typing import NamedTuple

    import trio
    from sagakit_actors import Actor, ActorContext, ChildSpec, Ref, Reply, Supervisor, open_system


    class Add(NamedTuple):
        number: int
        total: Reply[int]


    class Counter(Actor[Add]):
        def __init__(self) -> None:
            self.total = 0

        async def receive(self, message: Add, ctx: ActorContext[Add]) -> None:
            self.total += message.number
            message.total.send(self.total)


    async def main() -> None:
        root = Supervisor("one_for_one", [ChildSpec("counter", Counter)])
        async with open_system(root) as system:
            counter: Ref[Add] = system.ref("counter")
            for number in (2, 3):
                total: int = await counter.ask(partial(Add, number))
                print(total)


    trio.run(main)

The program prints 2, then 5. The library keeps these rules:

- An actor handles a message at most once. A message whose handler raises is not handled again; messages behind it wait
  for the next incarnation.
- Messages of one sender arrive in the order in which they were sent. Signals come first, and a stop before all.
- An ask never hangs: it returns the answer or raises an `ActorError`, such as `AskTimeout` or `ActorDied`.
- A new incarnation begins only after the previous one has ended, with all its side tasks.
- A supervisor that restarts too often gives up: it stops its children and crashes, and its own parent decides.
- Everything runs in one trio thread. Call no part of this library from another thread.

docs/actors.md answers the questions that come up: which strategy, which overflow policy, when to use a reactor.

The modules:

actor        Actor, one incarnation; ActorContext, its view of the library
ref          Ref: tell, ask, signal
reply        Reply: the slot for the answer to an ask
mailbox      bounded queues with priorities and an overflow policy
notices      Down: a death notice
target       protocols: an actor as its references see it
flag         an event that needs little memory while no task waits
reactor      Reactor, an actor without a task; ReactorContext, ReactorSpec
helpers      the tasks that run the side work of reactors
cell         one child over all its incarnations
tasks        cells of actors with a task each; ChildSpec
supervisor   a fixed list of children; one_for_one, one_for_all, rest_for_one
dynamic      children that come and go, restarted after a backoff
backoff      Backoff, Intensity: pure arithmetic
system       open_system: a tree of supervisors in a trio program
current      the actor that a task belongs to, for finding call cycles
errors       every error of this package
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
