"""The style sheets, scripts and icons of pages: their bytes, and addresses under which browsers may keep them."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sagakit.web.problems import Problem

if TYPE_CHECKING:
    from sagakit.client.client import Client

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
KEPT = "private, max-age=31536000, immutable"
"""The `Cache-Control` of an asset whose address has the digest of its bytes: other bytes have another address."""


@cache
def asset(name: str) -> tuple[bytes, str]:
    """Return an asset with its media type. Raises Problem."""
    file = files("sagakit.web") / "assets" / name
    kind = TYPES.get(name.rpartition(".")[2])
    if kind is None or "/" in name or not file.is_file():
        raise Problem(404, "NotFound", "there is no such file")
    return file.read_bytes(), kind


@cache
def digest(name: str) -> str:
    """Return the digest of an asset. Raises Problem."""
    return sha256(asset(name)[0]).hexdigest()[:16]


def asset_path(name: str) -> str:
    """Return the address of an asset below the prefix of the app, under which a browser keeps it."""
    return f"/assets/{name}?v={digest(name)}"


@cache
def styles() -> str:
    """Return the style sheet as pages contain it, so that a browser asks for nothing before it paints."""
    return asset("console.css")[0].decode()


def styles_source() -> str:
    """Return the word for the `Content-Security-Policy` that allows this style sheet within pages, and no other."""
    return f"'sha256-{b64encode(sha256(styles().encode()).digest()).decode()}'"


async def send_asset(request: Request, client: Client) -> Response:
    """Return a style sheet, a script or an icon."""
    name = request.path_params["name"]
    content, kind = asset(name)
    lasts = request.query_params.get("v") == digest(name)
    return Response(content, headers={"Cache-Control": KEPT if lasts else "no-cache"}, media_type=kind)
