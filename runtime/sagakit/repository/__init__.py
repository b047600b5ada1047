"""The repository: stored sagas, listed, counted and found by filters. Nothing here knows trio or asyncio.

repository  SagaRepository: the one door to stored sagas
listing     Page, SagaInfo and the like: what it returns
wanted      the sagas that a caller looks for
walk        values of several streams, newest first
cursors     the place at which the next page begins
filters     what a filter means: which records fit it
grammar     the text of a filter, and what is wrong with it, to the column
"""

from sagakit.repository.filters import EVERY as EVERY
from sagakit.repository.filters import Filter as Filter
from sagakit.repository.grammar import parse as parse
from sagakit.repository.listing import History as History
from sagakit.repository.listing import Page as Page
from sagakit.repository.listing import Records as Records
from sagakit.repository.listing import SagaInfo as SagaInfo
from sagakit.repository.listing import UnreadableRecord as UnreadableRecord
from sagakit.repository.repository import SagaRepository as SagaRepository
from sagakit.repository.wanted import Wanted as Wanted
