"""The page on which a visitor chooses the time zone of all pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.errors import InvalidInput
from sagakit.web.forms import read_form
from sagakit.web.rendering import check_form_token, form_token, page
from sagakit.web.time_zones import COOKIE, KEPT, chosen_zone, zone_names

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def show_zone(request: Request, client: Client) -> Response:
    """Show the zones, and which one is chosen."""
    return page(
        request, "zone", page="", now=await client.now(), zones=zone_names(), chosen=chosen_zone(request),
        back=request.query_params.get("back", ""), token=form_token(request),
    )  # fmt: skip


async def take_zone(request: Request, client: Client) -> Response:
    """Let the browser keep the zone of a form, and lead back to the page that the visitor came from."""
    form = await read_form(request)
    check_form_token(request, form.get("token", ""))
    name, root = form.get("zone", ""), request.scope.get("root_path", "")
    if name not in zone_names():
        raise InvalidInput(f"zone: {name[:80]!r} is not a time zone that is known here: choose one of the list")
    answer = RedirectResponse(f"{root}/{form.get('back', '').lstrip('/')}", 303)  # never to another host
    is_secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, name, max_age=KEPT, path=root or "/", secure=is_secure, httponly=True, samesite="lax")
    return answer
