"""The description of the API in OpenAPI 3.1, made from the table of endpoints and the schemas that the workers keep.

Each type of saga has paths of its own for its start and its signals, with the schemas of its input and payloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sagakit.definition import SagaSchema
from sagakit.release import __version__
from sagakit.web.acting import signal_saga, start_saga
from sagakit.web.bodies import SignalBody, StartBody
from sagakit.web.endpoints import ENDPOINTS, Endpoint, Parameters
from sagakit.web.problems import MEDIA_TYPE, ProblemLine

REF = "#/components/schemas/"
ID = "The id of the saga, as keys have it: each byte that is no letter, digit, `_` or `-` is written =XX"
OF_TYPES = (start_saga, signal_saga)
"""Endpoints that are described for each type by itself."""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
}
Json = dict[str, Any]


def describe_api(schemas: Mapping[str, SagaSchema], server: str) -> Json:
    """Return the description. `server` is the prefix under which the app is mounted."""
    paths: dict[str, Json] = {}
    components = _components()
    for endpoint in ENDPOINTS:
        if endpoint.handler not in OF_TYPES:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, endpoint.path)
    for path, operation in _of_types(schemas, components):
        paths.setdefault(path, {})["post"] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "sagakit", "version": __version__, "description": "Sagas on NATS JetStream"},
        "servers": [{"url": server or "/"}],
        "security": [{}, *({name: []} for name in _SCHEMES)],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _components() -> Json:
    kinds: list[type[msgspec.Struct]] = [ProblemLine]
    for endpoint in ENDPOINTS:
        kinds += [kind for kind in (*endpoint.answers.values(), endpoint.body) if kind is not None]
    return dict(msgspec.json.schema_components(dict.fromkeys(kinds), ref_template=REF + "{name}")[1])


def _operation(endpoint: Endpoint, path: str, body: Json | None = None, name: str = "") -> Json:
    content = "text/event-stream" if endpoint.streams else "application/json"
    answers = {
        str(status): {
            "description": "OK" if status == 200 else "Accepted; not ended yet",
            "content": {content: {"schema": {} if kind is None else {"$ref": REF + kind.__name__}}},
        }
        for status, kind in endpoint.answers.items()
    }
    problem = {"description": "An error", "content": {MEDIA_TYPE: {"schema": {"$ref": REF + "ProblemLine"}}}}
    found: Json = {
        "operationId": name or endpoint.name,
        "summary": endpoint.summary,
        "description": f"For the role {endpoint.rank}.",
        "parameters": [
            *_path_parameters(path),
            *_parameters(endpoint.query, "query"),
            *_parameters(endpoint.headers, "header"),
        ],
        "responses": {**answers, "default": problem},
    }
    if body is None and endpoint.body is not None:
        body = {"$ref": REF + endpoint.body.__name__}
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _path_parameters(path: str) -> list[Json]:
    texts = {"id": ID, "job": "The id of the job", "letter": "The number of the dead letter"}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": texts.get(name, "")}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _parameters(parameters: Parameters, where: str) -> list[Json]:
    return [
        {"name": name, "in": where, "schema": schema, "description": text}
        for name, (schema, text) in parameters.items()
    ]


# ------------------------------------------------------------------- types of sagas


def _of_types(schemas: Mapping[str, SagaSchema], components: Json) -> Iterator[tuple[str, Json]]:
    """Yield the paths of each type with their operations. The schemas of the types go to the components."""
    start, signal = (next(one for one in ENDPOINTS if one.handler is handler) for handler in OF_TYPES)
    for saga_type, schema in sorted(schemas.items()):
        body = _with_value(StartBody, "input", _added(components, f"{saga_type}.input", schema["input"]))
        path = start.path.replace("{type}", saga_type)
        yield path, _operation(start, path, body, f"start-{saga_type}")
        for name, payload in schema["signals"].items():
            body = _with_value(SignalBody, "payload", _added(components, f"{saga_type}.signals.{name}", payload))
            path = signal.path.replace("{type}", saga_type).replace("{name}", name)
            yield path, _operation(signal, path, body, f"signal-{saga_type}-{name}")


def _with_value(body: type[msgspec.Struct], field: str, value: Json) -> Json:
    """Return the schema of a body whose field has a schema of its own."""
    schema: Json = dict(msgspec.json.schema_components([body], ref_template=REF + "{name}")[1][body.__name__])
    return {**schema, "properties": {**schema["properties"], field: value}}


def _added(components: Json, name: str, schema: Json) -> Json:
    """Put a schema and the classes within it under the components, and return a reference to it."""
    places = {f"#/$defs/{one}": f"{REF}{name}.{_plain(one)}" for one in schema.get("$defs", {})}
    for one, inner in schema.get("$defs", {}).items():
        components[f"{name}.{_plain(one)}"] = _moved(inner, places)
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "$schema")}
    components[name] = _moved(rest, places)
    return {"$ref": REF + name}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _moved(schema: Any, places: Mapping[str, str]) -> Any:
    """Return a schema whose references, also those of a discriminator's mapping, lead to the new places."""
    if isinstance(schema, dict):
        return {key: _moved(value, places) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_moved(one, places) for one in schema]
    return places.get(schema, schema) if isinstance(schema, str) else schema
