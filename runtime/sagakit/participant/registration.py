"""Registration with NATS micro (ADR-32): `nats micro ls|info|stats` shows what a participant serves, and how it fares.

The `nats.micro` of nats-py subscribes to the subject of each endpoint. It would hear commands on their way to
JetStream, which is where they are taken from, and answer their senders. So a participant answers by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from logging import getLogger
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import msgspec

from sagakit.engine.keys import CallKind
from sagakit.errors import Ambiguous, NotPermitted, Unavailable
from sagakit.participant.server_time import ServerTime
from sagakit.participant.service import Service, ServiceEndpoint
from sagakit.store.names import Names
from sagakit.store.ports import Subscription, Wire, WireEvent, WireMessage

_log = getLogger("sagakit.participant")

MicroQuestion: TypeAlias = Literal["PING", "INFO", "STATS"]
QUESTIONS: tuple[MicroQuestion, ...] = ("PING", "INFO", "STATS")
EPOCH = datetime.fromtimestamp(0, UTC)
AGAIN = 1.0
"""Seconds until the server is asked again to pass questions on, once the connection was lost meanwhile."""


class EndpointStats(msgspec.Struct, kw_only=True):
    """How often an endpoint had a command to work on since the participant was opened. Times are in nanoseconds.

    An error is a command that ended `unknown`, or that could not be read. A refusal is an answer like any other. `data`
    is a field of ADR-32 that has no use here; nats-py does not read statistics without it.
    """

    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    average_processing_time: int = 0
    data: None = None

    def count(self, seconds: float, *, error: str = "") -> None:
        """Count a command that took so long."""
        self.num_requests += 1
        self.processing_time += round(seconds * 1e9)
        self.average_processing_time = self.processing_time // self.num_requests
        if error:
            self.num_errors += 1
            self.last_error = error


class Registered:
    """An endpoint as NATS knows it: the work that it is for, of which action, and how it fares."""

    def __init__(self, name: str, endpoint: ServiceEndpoint[Any, Any], kind: CallKind) -> None:
        self.name: str = name
        self.endpoint: ServiceEndpoint[Any, Any] = endpoint
        self.kind: CallKind = kind
        self.stats: EndpointStats = EndpointStats()

    @property
    def consumer(self) -> str:
        """The durable consumer that all processes of the service take the commands from."""
        return f"{self.endpoint.service}_{self.name}"

    def schemas(self) -> dict[str, str]:
        """Return the JSON Schemas of the payloads of the command and of the reply `done`; an undo has no result."""
        found = {"command_schema": self.endpoint.command} | (
            {} if self.kind == "undo" else {"reply_schema": self.endpoint.result}
        )
        return {name: msgspec.json.encode(codec.schema()).decode() for name, codec in found.items()}


class Registration:
    """Answers the questions of NATS micro about one participant. For tasks of the program that opened `wire`."""

    def __init__(
        self, wire: Wire, names: Names, participant: Service, endpoints: Mapping[str, Registered], time: ServerTime
    ) -> None:
        self._wire = wire
        self._time = time
        self._names = names
        self._endpoints = endpoints
        self._participant = participant
        self._head: dict[str, Any] = {
            "name": participant.service,
            "id": uuid4().hex,
            "version": participant.version,
            "metadata": {"namespace": names.namespace} if names.namespace else {},
        }
        self._started = EPOCH

    async def run(self, stopped: WireEvent) -> None:
        """Answer until `stopped`. An account that may not listen to the questions serves without being shown."""
        heard: list[Subscription] = []
        try:
            while not stopped.is_set():
                try:
                    self._started = datetime.fromtimestamp(await self._time.now(), UTC)
                    await self._hear(heard)
                    break
                except (Unavailable, Ambiguous):
                    await self._wire.until_connected()
                    await self._wire.within(AGAIN, stopped)
            await stopped.wait()
        except NotPermitted as error:
            _log.warning(
                "%s: not shown to `nats micro`: %s: grant what `sagakit permissions participant` prints, or open the "
                "participant with micro=False",
                self._participant.service,
                error,
            )
        finally:
            for subscription in heard:
                await subscription.end()

    async def _hear(self, heard: list[Subscription]) -> None:
        """Hear each question to all services, to this one, and to this process of it."""
        name, id = self._head["name"], self._head["id"]
        subjects = [f"$SRV.{question}{end}" for question in QUESTIONS for end in ("", f".{name}", f".{name}.{id}")]
        for subject in subjects[len(heard) :]:
            heard.append(await self._wire.hear(subject, self._take))

    def _take(self, message: WireMessage) -> None:
        if self._may_answer(message.reply):
            question = message.subject.split(".")[1]
            self._wire.tell(message.reply, self.answer(question))  # type: ignore[arg-type]  # one that is heard

    def _may_answer(self, reply: str) -> bool:
        """Return False for a subject on which an answer would be taken for something else, such as a saga's reply."""
        return bool(reply) and not reply.startswith(("$", self._names.subject("saga")))

    def answer(self, question: MicroQuestion) -> bytes:
        """Return the answer to a question. One that is too large for a message says nothing of schemas."""
        match question:
            case "PING":
                return self._json("ping")
            case "STATS":
                stats = [self._known(one) | msgspec.structs.asdict(one.stats) for one in self._endpoints.values()]
                return self._json("stats", started=self._started, endpoints=stats)
            case "INFO":
                whole = self._info(schemas=True)
                return whole if len(whole) <= self._wire.max_payload else self._info(schemas=False)

    def _info(self, *, schemas: bool) -> bytes:
        endpoints = [
            self._known(one) | {"metadata": self._metadata(one) | (one.schemas() if schemas else {})}
            for one in self._endpoints.values()
        ]
        return self._json("info", description=self._participant.description, endpoints=endpoints)

    def _known(self, one: Registered) -> dict[str, Any]:
        subject = self._names.command_subject(f"{self._participant.service}.{one.name}")
        return {"name": one.name, "subject": subject, "queue_group": one.consumer}

    def _metadata(self, one: Registered) -> dict[str, str]:
        return {"kind": one.kind, "stream": self._names.commands}

    def _json(self, kind: str, **more: Any) -> bytes:
        return msgspec.json.encode({"type": f"io.nats.micro.v1.{kind}_response", **self._head, **more})
