"""What a wire protocol is to the simulated provider."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.testing.billing import TokenCounts

JsonObject = dict[str, Any]


class ApiError(Exception):
    """The request is answered with this HTTP error."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """A valid request and how to answer it."""

    id: str
    created: int
    """Unix time in seconds."""
    served_model: str
    body: Mapping[str, Any]
    behavior: Behavior


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of a stream, as sent; a content event is worth this many tokens."""

    data: bytes
    content: bool = False
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, and the usage that is billed when all of it was.

    Either `body` is sent at once, or `events` one by one and then `ending`.
    """

    usage: TokenCounts
    body: JsonObject | None = None
    events: Iterable[Event] = ()
    ending: bytes = b""
    service_tier: str | None = None
    """The tier that was used, for the invoice."""


class Dialect(Protocol):
    """One endpoint of one provider's protocol. Stateless and thread-safe."""

    @property
    def path(self) -> str:
        """The path that POST requests come to, such as `/v1/chat/completions`.

        `{model}` in it stands for the name of the model, which then is not in the body.
        """

    @property
    def behaviors(self) -> frozenset[str]:
        """The fields of `Behavior`, of those not all dialects have, that this one can report."""

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        """Tell whether the request asks for a stream."""

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Raise ApiError unless the headers, in lower case, carry some API key."""

    def validate(self, body: Mapping[str, Any]) -> None:
        """Raise ApiError if the body, apart from its model, is not what the API accepts."""

    def answer(self, call: Call) -> Answer:
        """Answer a validated request. Raises ApiError or ValueError (a 400)."""

    def error_body(self, error: ApiError) -> JsonObject:
        """Return the JSON that this API sends for an error."""


def encode_json(value: object) -> bytes:
    """Encode compactly; ASCII only, because that can carry any string a client may send."""
    return json.dumps(value, separators=(",", ":")).encode()


def named_event(data: JsonObject, *, content: bool = False) -> Event:
    """Return a server-sent event that carries its type as its name too."""
    return Event(b"event: %s\ndata: %s\n\n" % (data["type"].encode(), encode_json(data)), content)
