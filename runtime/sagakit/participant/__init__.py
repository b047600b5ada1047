"""Participants: services that do steps of sagas which run elsewhere. Nothing here imports trio.

endpoints  Participant, its endpoints with undo and check, and the `Call` of a handler
keys       what was done under which key, so that it is done once; a store of them in memory
work       the rules: what a command leads to
replies    the reply, as JSON
"""

from sagakit.definition.step_answers import Done as Done
from sagakit.definition.step_answers import NotDone as NotDone
from sagakit.definition.step_answers import Reject as Reject
from sagakit.definition.step_answers import Retry as Retry
from sagakit.participant.endpoints import Call as Call
from sagakit.participant.endpoints import Endpoint as Endpoint
from sagakit.participant.endpoints import Participant as Participant
from sagakit.participant.keys import Keys as Keys
from sagakit.participant.keys import MemoryKeys as MemoryKeys

__all__ = ["Call", "Done", "Endpoint", "Keys", "MemoryKeys", "NotDone", "Participant", "Reject", "Retry"]
