"""The table of the API: each endpoint with the role that it takes, what it reads and what it answers.

The routes are made from it, and the description in OpenAPI.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.json_shapes import JobLine, LetterDetail, LetterVerdictLine, SagaDetail, VerdictLine, WatchLine
from sagakit.web import acting, filter_words, job_endpoints, letter_endpoints, looking, streaming
from sagakit.web.api_shapes import (
    CommandAnswer,
    CountAnswer,
    EventAnswer,
    GroupAnswer,
    JobList,
    JobReport,
    LetterChangeList,
    LetterList,
    OutcomeAnswer,
    PlanAnswer,
    SagaPage,
    StartAnswer,
    WordsAnswer,
)
from sagakit.web.bodies import (
    CommandBody,
    JobBody,
    LetterBody,
    LetterEditBody,
    ResultBody,
    ResumeBody,
    SignalBody,
    StartBody,
    StepVerbBody,
    VerbBody,
)
from sagakit.web.page_acts import VERBS
from sagakit.web.visitors import Rank

if TYPE_CHECKING:
    from sagakit.client.client import Client

Handler: TypeAlias = Callable[[Request, "Client"], Awaitable[Response]]
Parameters: TypeAlias = Mapping[str, tuple[dict[str, Any], str]]
"""Parameters by name: the schema and the meaning of each."""

FLAG = {"type": "boolean"}
FILTER: Parameters = {
    "where": ({"type": "string", "maxLength": looking.MAX_FILTER}, "A filter: type = PlaceOrder and status = stuck"),
    "ended": (FLAG, "True for ended sagas, false for others; without it the filter decides"),
}
PAGE: Parameters = {
    **FILTER,
    "limit": ({"type": "integer", "minimum": 1, "maximum": looking.MAX_LIMIT}, "Sagas of the page, at the most"),
    "cursor": ({"type": "string"}, "The `cursor` of the page before"),
}
AFTER: Parameters = {"after": ({"type": "string"}, "A position, or `start` for the first event that is kept")}
PREFER: Parameters = {"Prefer": ({"type": "string"}, "`wait=30` waits so many seconds for the end of the saga")}
LIMITED: Parameters = {"limit": ({**PAGE["limit"][0]}, "At the most so many; else 50")}
LETTERS_THAT_FIT: Parameters = {
    "subject": ({"type": "string"}, "A pattern of NATS that the subject of the message fits: sagain.PlaceOrder.*"),
    "reason_contains": ({"type": "string"}, "A part of the reason why the letter could not be applied"),
    **LIMITED,
}
PREVIEW: Parameters = {
    "verb": ({"type": "string", "enum": list(VERBS)}, "The verb"),
    "where": FILTER["where"],
}
SPENT: Parameters = {"Prefer": ({"type": "string"}, "`wait=30` runs the job for so many seconds, at the most")}
RESUME: Parameters = {"Last-Event-ID": ({"type": "string"}, "The position after which the stream goes on")}


_VERBS = {
    "cancel": "Ask that a saga be undone.",
    "retry": "Let a stuck saga go on, with fresh retries.",
    "compensate": "Undo what can be undone, even past the pivot.",
    "terminate": "End a saga now, and undo nothing.",
}


class Endpoint(NamedTuple):
    """An endpoint. `answers` has what it answers by status."""

    method: Literal["GET", "POST"]
    path: str
    rank: Rank
    handler: Handler
    answers: Mapping[int, type[msgspec.Struct] | None]
    query: Parameters = {}
    headers: Parameters = {}
    body: type[msgspec.Struct] | None = None
    streams: bool = False

    @property
    def summary(self) -> str:
        """The first sentence about it."""
        return _VERBS.get(self.name) or (self.handler.__doc__ or "").partition("\n")[0]

    @property
    def name(self) -> str:
        """The name of the operation; a verb's is its path's end."""
        last = self.path.rpartition("/")[2]
        return last if self.handler is acting.give_verb else self.handler.__name__.replace("_", "-")


ONE = "/api/sagas/{type}/{id}"
JOB = "/api/jobs/{job}"
LETTERS = "/api/dead-letters"
RUNS = {200: JobLine, 202: JobLine}
OUTCOMES = {200: OutcomeAnswer, 202: OutcomeAnswer}
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/sagas", "viewer", looking.list_sagas, {200: SagaPage}, query=PAGE),
    Endpoint("GET", "/api/count", "viewer", looking.count_sagas, {200: CountAnswer},
             query={**FILTER, "exact": (FLAG, "True to read the records, however many they are")}),
    Endpoint("GET", "/api/groups", "viewer", looking.group_sagas, {200: GroupAnswer}, query={"where": FILTER["where"]}),
    Endpoint("GET", "/api/words", "viewer", filter_words.list_words, {200: WordsAnswer}),
    Endpoint("GET", "/api/events", "viewer", streaming.watch_sagas, {200: WatchLine}, streams=True,
             query={"type": ({"type": "string"}, "The type of the sagas; without it, all types"), **AFTER},
             headers=RESUME),
    Endpoint("POST", "/api/sagas/{type}", "operator", acting.start_saga, {200: OutcomeAnswer, 202: StartAnswer},
             body=StartBody, headers=PREFER),
    Endpoint("POST", "/api/commands/{subject}", "operator", acting.send_command, {202: CommandAnswer},
             body=CommandBody),
    Endpoint("GET", ONE, "viewer", looking.describe_saga, {200: SagaDetail}),
    Endpoint("GET", f"{ONE}/outcome", "viewer", looking.show_outcome, OUTCOMES, headers=PREFER),
    Endpoint("GET", f"{ONE}/record", "viewer", looking.show_record, {200: None}),
    Endpoint("GET", f"{ONE}/history", "viewer", looking.show_history, {200: EventAnswer},
             query={"all": (FLAG, "True for all events, in place of the first and the last hundred")}),
    Endpoint("GET", f"{ONE}/events", "viewer", streaming.watch_saga, {200: WatchLine}, streams=True, query=AFTER,
             headers=RESUME),
    Endpoint("POST", f"{ONE}/signals/{{name}}", "operator", acting.signal_saga, {200: VerdictLine}, body=SignalBody),
    Endpoint("POST", f"{ONE}/cancel", "operator", acting.give_verb, {200: VerdictLine}, body=VerbBody),
    Endpoint("POST", f"{ONE}/retry", "operator", acting.give_verb, {200: VerdictLine}, body=VerbBody),
    Endpoint("POST", f"{ONE}/compensate", "operator", acting.give_verb, {200: VerdictLine}, body=VerbBody),
    Endpoint("POST", f"{ONE}/mark-undone", "operator", acting.mark_undone, {200: VerdictLine}, body=StepVerbBody),
    Endpoint("POST", f"{ONE}/complete-step", "operator", acting.complete_step, {200: VerdictLine}, body=ResultBody),
    Endpoint("POST", f"{ONE}/terminate", "admin", acting.give_verb, {200: VerdictLine}, body=VerbBody),
    Endpoint("GET", "/api/jobs/preview", "viewer", job_endpoints.preview_job, {200: PlanAnswer}, query=PREVIEW),
    Endpoint("POST", "/api/jobs", "operator", job_endpoints.start_job, RUNS, body=JobBody, headers=SPENT),
    Endpoint("GET", "/api/jobs", "viewer", job_endpoints.list_jobs, {200: JobList}),
    Endpoint("GET", JOB, "viewer", job_endpoints.report_job, {200: JobReport},
             query={"page": ({"type": "integer", "minimum": 1}, "The page of the list, from 1")}),
    Endpoint("POST", f"{JOB}/resume", "operator", job_endpoints.resume_job, RUNS, body=ResumeBody, headers=SPENT),
    Endpoint("GET", LETTERS, "viewer", letter_endpoints.list_letters, {200: LetterList}, query=LETTERS_THAT_FIT),
    Endpoint("GET", f"{LETTERS}/changes", "viewer", letter_endpoints.list_letter_changes, {200: LetterChangeList},
             query=LIMITED),
    Endpoint("GET", f"{LETTERS}/{{letter}}", "viewer", letter_endpoints.show_letter, {200: LetterDetail}),
    Endpoint("POST", f"{LETTERS}/{{letter}}/edit", "operator", letter_endpoints.edit_letter, {200: LetterVerdictLine},
             body=LetterEditBody),
    Endpoint("POST", f"{LETTERS}/{{letter}}/resend", "operator", letter_endpoints.resend_letter,
             {200: LetterVerdictLine}, body=LetterBody),
    Endpoint("POST", f"{LETTERS}/{{letter}}/delete", "admin", letter_endpoints.delete_letter, {200: LetterVerdictLine},
             body=LetterBody),
)  # fmt: skip
"""All endpoints."""
