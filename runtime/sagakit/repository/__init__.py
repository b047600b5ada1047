"""The repository: stored sagas, found by filters.

filters   what a filter means: which records fit it
grammar   the text of a filter, and what is wrong with it, to the column
"""

from sagakit.repository.filters import EVERY as EVERY
from sagakit.repository.filters import Filter as Filter
from sagakit.repository.grammar import parse as parse
