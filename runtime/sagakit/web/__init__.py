"""The console and the HTTP API: an ASGI app over a client. Needs the extra `web`.

    async with sagakit.asyncio.open_client("nats://localhost") as client:
        service.mount("/sagas", sagakit.web.app(client))

It runs on asyncio and on trio, under any prefix, and is read-only unless told otherwise. See docs/http.md and
docs/console.md.

application    app: the ASGI app
visitors       who visits, with which role; tokens, an authenticating proxy
addresses      the addresses of visitors, also behind a proxy
rate_limits    how many requests one visitor may send
gcra           the algorithm of these limits
guard          the checks of every request: hosts, visitors, other sites, headers
problems       errors as problem+json
bodies         the bodies of requests, bounded and checked
json_faults    values against a JSON Schema: what does not fit, what is the same
endpoints      the table of the API
looking        the endpoints that look
filter_words   the words that filters may have
acting         the endpoints that start, signal and mend
job_endpoints  the endpoints of verbs for many sagas
job_work       jobs as requests run them
letter_endpoints  the endpoints of dead letters
api_shapes     the JSON that only the API has
streaming      events as they come, as server-sent events
overview_page  the overview
backlog        the messages that wait
shared_answers  the answers that pages share which renew themselves
shared_looks   the looks at many sagas that visitors share
rates          what happened in each of the last minutes
pages          the pages of stuck sagas and of one saga
list_page      the page of sagas by filter
saga_columns   the columns that a visitor has chosen for it
replay_page    the page of a saga as it was after one of its events
saga_view      what these two have in common
waits          the words for what a step waits for
time_axis      the attempts of a saga on an axis of time
drawn_nodes    the nodes of the diagrams of sagas and definitions
many_acts      acts on many sagas: the preview, then a job
group_acts     those on a group of stuck sagas
filter_acts    those on all sagas that fit a filter
job_page       the page of a job
fleet_pages    the pages of definitions and workers
start_page     the page that starts a saga
signal_forms   the forms that send signals to a saga
value_form     the form for a value, from its JSON Schema
letter_pages   the pages of dead letters
letter_acts    who may change a dead letter, and what would become of it
audit_page     the page of what operators did
time_zones     in which zone pages tell times
zone_page      the page on which a visitor chooses it
forms          the forms of pages
page_acts      the acts that the page of a saga offers, and why not
terminal       the command on a terminal for what a page shows
assets         the style sheets, scripts and icons
rendering      templates, and values made visible
openapi        the description of the API, made from the table and the schemas of the workers
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagakit.web.application import app as app
    from sagakit.web.rate_limits import RateLimits as RateLimits
    from sagakit.web.visitors import Authentication as Authentication
    from sagakit.web.visitors import Everyone as Everyone
    from sagakit.web.visitors import Proxy as Proxy
    from sagakit.web.visitors import Tokens as Tokens
    from sagakit.web.visitors import Visitor as Visitor
else:
    from sagakit.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "sagakit.web.application": "app",
            "sagakit.web.rate_limits": "RateLimits",
            "sagakit.web.visitors": "Authentication Everyone Proxy Tokens Visitor",
        },
        extra="web",
    )
