"""The repository: stored sagas, listed, counted and found by filters. Nothing here knows trio or asyncio.

repository  SagaRepository: the one door to stored sagas
export      every saga that fits, once, page by page
listing     Page, SagaInfo and the like: what it returns
wanted      the sagas that a caller looks for
found       the records that a listing has found so far
saga_events  the events of one saga
retelling   the sagas as the event log tells them
verifying   comparing records, archive and events
index       events that lead to the stuck sagas, for speed
counting    how many sagas there are, without reading them
groups      the stuck sagas by type, step and error
leases      what workers tell of their sagas
walk        values of several streams, newest first
cursors     the place at which the next page begins
filters     what a filter means: which records fit it
grammar     the text of a filter, and what is wrong with it, to the column
"""

from sagakit.repository.counting import SagaCounts as SagaCounts
from sagakit.repository.filters import EVERY as EVERY
from sagakit.repository.filters import Filter as Filter
from sagakit.repository.grammar import parse as parse
from sagakit.repository.groups import StuckGroup as StuckGroup
from sagakit.repository.listing import History as History
from sagakit.repository.listing import Page as Page
from sagakit.repository.listing import Records as Records
from sagakit.repository.listing import SagaInfo as SagaInfo
from sagakit.repository.listing import UnreadableRecord as UnreadableRecord
from sagakit.repository.repository import SagaRepository as SagaRepository
from sagakit.repository.wanted import Wanted as Wanted
