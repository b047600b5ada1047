"""The pages that list every command of the command line, and every endpoint of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import typer
import typer.main
from sagakit.cli.app import app
from sagakit.cli.command_options import CONNECTION
from sagakit.cli.lazy_group import LATER, OTHERS
from sagakit.web.endpoints import ENDPOINTS, Endpoint, Parameters
from sagakit.web.problems import ProblemLine

NOTE = "<!-- made by docs/generate.py: run `make docs` -->\n"
CONNECTING = {"nats", "config", *CONNECTION}
"""The options that say which server a command talks to, and how."""
CLI_HEAD = """\
# Every command

Every command with its arguments and options, as `sagakit COMMAND --help` prints them. [The command line](cli.md) says
which one you need, and what they have in common.
"""
HTTP_HEAD = """\
# Every endpoint

Every endpoint with its parameters, its body and its answers. [The HTTP API](http.md) says how to use them, and has
examples. `/openapi.json` of a running app describes the same for programs, and has the inputs and signals of your
types, too. An error is a `ProblemLine` with the media type `application/problem+json`.
"""


def cli_page() -> str:
    """Return the page that lists every command."""
    group: Any = typer.main.get_command(app)
    lines = [NOTE, *CLI_HEAD.splitlines(), ""]
    shared = [param for param in group.commands["list"].params if param.name in CONNECTING]
    lines += ["## Options of the connection", "", *_table(shared)]
    for title, listed in (("Operator commands", LATER), ("Other commands", OTHERS)):
        lines += [f"## {title}", ""]
        for name in listed:
            lines += _command(f"sagakit {name}", group.commands[name], "###")
    return "\n".join(lines)


def _command(name: str, command: Any, level: str) -> Iterator[str]:
    """Yield the section of a command, and those of the commands below it."""
    yield from (f"{level} {name}", "", *_paragraphs(command.help or ""))
    connects = {param.name for param in command.params} >= CONNECTING
    yield from _table([param for param in command.params if not (connects and param.name in CONNECTING)])
    if connects:
        yield from ("And the [options of the connection](#options-of-the-connection).", "")
    for below, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {below}", inner, level + "#")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from (" ".join(paragraph.split()), "")


def _table(params: Sequence[Any]) -> Iterator[str]:
    """Yield a row for each argument and option, with what the help says of it."""
    rows = [f"| {_spelled(param)} | {_meaning(param)} |" for param in params if "--help" not in param.opts]
    if rows:
        yield from ("| argument or option | meaning |", "| --- | --- |", *rows, "")


def _spelled(param: Any) -> str:
    value = param.metavar or ("" if getattr(param, "is_flag", True) else param.name.upper())
    names = (param.metavar or param.name.upper(),) if param.param_type_name == "argument" else param.opts
    spelled = ", ".join(f"`{name}`" for name in names)
    return f"{spelled} `{_cell(value)}`" if value and param.param_type_name == "option" else spelled


def _meaning(param: Any) -> str:
    default = getattr(param.default, "value", param.default)
    told = isinstance(default, str | int | float) and default not in ("", False) and param.show_default is not False
    notes = (
        ["Required."] * param.required
        + [f"Default: `{default}`."] * told
        + ["May be repeated."] * (param.multiple and "repeated" not in (param.help or ""))
    )
    return " ".join([_cell(param.help or ""), *notes])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


# ------------------------------------------------------------------------ endpoints


def http_page() -> str:
    """Return the page that lists every endpoint, and every object that one takes or answers."""
    lines = [NOTE, *HTTP_HEAD.splitlines(), ""]
    for endpoint in ENDPOINTS:
        lines += _endpoint(endpoint)
    lines += ["## Objects", "", "A field is required unless a default is given.", ""]
    for name, schema in _objects().items():
        lines += _object(name, schema)
    return "\n".join(lines)


def _endpoint(endpoint: Endpoint) -> Iterator[str]:
    yield from (f"## {endpoint.method} {endpoint.path}", "", endpoint.summary, "", f"- Role: {endpoint.rank}")
    if endpoint.body is not None:
        yield f"- Body: {_link(endpoint.body.__name__)}"
    for status, kind in endpoint.answers.items():
        what = "server-sent events" if endpoint.streams else "JSON"
        yield f"- Answer {status}: {what if kind is None else _link(kind.__name__)}"
    yield ""
    rows = [*_rows(endpoint.query, "query"), *_rows(endpoint.headers, "header")]
    if rows:
        yield from ("| parameter | in | type | meaning |", "| --- | --- | --- | --- |", *rows, "")


def _rows(parameters: Parameters, where: str) -> Iterator[str]:
    for name, (schema, text) in parameters.items():
        yield f"| `{name}` | {where} | {_type(schema)} | {_cell(text)} |"


def _objects() -> dict[str, dict[str, Any]]:
    """Return the schemas of all objects by their names, those of the endpoints' bodies and answers first."""
    kinds: list[type[msgspec.Struct]] = [ProblemLine]
    for endpoint in ENDPOINTS:
        kinds += [kind for kind in (endpoint.body, *endpoint.answers.values()) if kind is not None]
    return dict(msgspec.json.schema_components(dict.fromkeys(kinds))[1])


def _object(name: str, schema: dict[str, Any]) -> Iterator[str]:
    text = " ".join(schema.get("description", "").split())
    yield from (f"### {name}", "", text, "")
    yield from ("| field | type | default |", "| --- | --- | --- |")
    required = schema.get("required", ())
    for field, inner in schema.get("properties", {}).items():
        default = "" if field in required else f"`{msgspec.json.encode(inner.get('default')).decode()}`"
        yield f"| `{field}` | {_type(inner)} | {default} |"
    yield ""


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return r" or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{msgspec.json.encode(one).decode()}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return f"object of {_type(inner)}"
    return str(schema.get("type", "any value"))


def _link(name: str) -> str:
    return f"[`{name}`](#{name.lower()})"
