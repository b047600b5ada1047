"""A program that mounts the console in an asyncio service, and fails if trio was loaded. Arguments: URL, namespace."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import sagakit.asyncio
import sagakit.web
from fastapi import FastAPI

PATHS = ("/", "/stuck", "/sagas", "/sagas/Buy/one", "/api/sagas", "/api/sagas/Buy/one", "/openapi.json")


@asynccontextmanager
async def lifespan(service: FastAPI) -> AsyncIterator[None]:
    async with sagakit.asyncio.open_client(sys.argv[1], namespace=sys.argv[2]) as service.state.client:
        yield


service = FastAPI(lifespan=lifespan)
service.mount("/sagas", sagakit.web.app(lambda: service.state.client))


async def main() -> None:
    async with lifespan(service):
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for path in PATHS:
                answer = await http.get(f"/sagas{path}")
                assert answer.status_code == 200, (path, answer.text)


if __name__ == "__main__":
    asyncio.run(main())
    assert "trio" not in sys.modules, sorted(name for name in sys.modules if name.startswith("trio"))[:5]
