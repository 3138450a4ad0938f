"""What the simulated provider does with a request, before any of it is sent."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from llmcost_plugins.testing.behavior import Behavior, split_model
from llmcost_plugins.testing.billing import BilledRequest, Outcome, TokenCounts
from llmcost_plugins.testing.dialects import ROUTES, Answer, ApiError, Call, Route
from llmcost_plugins.testing.dialects.base import JsonObject
from llmcost_plugins.testing.dialects.openai_common import OpenAIEndpoint
from llmcost_plugins.testing.pricelist import ModelPrice, PriceList
from llmcost_plugins.testing.scripts import Scripts

BEHAVIOR_HEADER = "x-simulate"
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})
_FREE = ModelPrice(input="0")
_OPENAI = OpenAIEndpoint()


@dataclass(slots=True)
class Exchange:
    """A request, and its answer or its error; filled in as far as the request was understood."""

    id: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    served_model: str = ""
    streamed: bool = False
    """Whether the client asked for a stream."""
    price: ModelPrice = _FREE
    behavior: Behavior = field(default_factory=Behavior)
    status: int = 200
    answer: Answer = field(default_factory=lambda: Answer(TokenCounts()))
    """With an error, its JSON body and no tokens."""

    def bill(self, outcome: Outcome, usage: TokenCounts) -> BilledRequest:
        """Return the line of the invoice for this much usage."""
        return BilledRequest(
            id=self.id,
            path=self.path,
            model=self.model,
            served_model=self.served_model,
            status_code=self.status,
            streamed=self.streamed,
            outcome=outcome,
            prompt_tokens=usage.prompt,
            cached_tokens=usage.cached,
            completion_tokens=usage.completion,
            reasoning_tokens=usage.reasoning,
            cache_write_5m_tokens=usage.written_5m,
            cache_write_1h_tokens=usage.written_1h,
            web_searches=usage.searches,
            service_tier=self.answer.service_tier,
            cost_nano=self.price.cost_nano(usage, self.answer.service_tier),
            body=self.body,
            headers=self.headers,
        )


class Desk:
    """Turns raw requests into exchanges. Thread-safe."""

    def __init__(self, prices: PriceList, scripts: Scripts, clock: Callable[[], datetime]) -> None:
        self._prices = prices
        self._scripts = scripts
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0

    def models(self, headers: Mapping[str, str]) -> tuple[int, JsonObject]:
        """Return status and body of the list of models."""
        try:
            _OPENAI.authorize(headers)
        except ApiError as error:
            return error.status, _OPENAI.error_body(error)
        owned = {"object": "model", "created": 0, "owned_by": "simulated"}
        return 200, {
            "object": "list",
            "data": [{"id": name, **owned} for name in self._prices.models],
        }

    def unknown_path(self, method: str, path: str) -> tuple[int, JsonObject]:
        """Return status and body for a path that is not served."""
        error = ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")
        return error.status, _OPENAI.error_body(error)

    def decide(self, path: str, headers: Mapping[str, str], raw: bytes) -> Exchange | None:
        """Decide how a POST is answered; None for a path that is not served."""
        route = ROUTES.find(path)
        if route is None:
            return None
        with self._lock:
            self._count += 1
            id_ = f"req_{self._count:06d}"
        kept = {name: text for name, text in headers.items() if name not in _SECRET_HEADERS}
        exchange = Exchange(id_, path, MappingProxyType(kept))
        try:
            self._answer(exchange, route, headers, raw)
        except ApiError as given:
            error = given
        except ValueError as given:
            error = ApiError(400, str(given))
        except (AttributeError, KeyError, TypeError) as given:
            error = ApiError(400, f"The request has a part of the wrong type: {given!r}")
        else:
            return exchange
        exchange.status = error.status
        exchange.answer = Answer(TokenCounts(), route.dialect.error_body(error))
        return exchange

    def _answer(
        self, exchange: Exchange, route: Route, headers: Mapping[str, str], raw: bytes
    ) -> None:
        dialect = route.dialect
        dialect.authorize(headers)
        exchange.body = body = _parse(raw)
        exchange.streamed = dialect.is_stream(body)
        model, suffix = split_model(route.model or _model(body))
        exchange.model = exchange.served_model = model
        header = headers.get(BEHAVIOR_HEADER)
        stated = suffix if header is None else Behavior.parse(header)
        price = self._prices.find(model)
        if price is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        dialect.validate(body)
        behavior = stated or self._scripts.take(model) or Behavior()
        served = behavior.served_model or self._prices.served_name(model)
        exchange.behavior, exchange.served_model = behavior, served
        exchange.price = self._prices.find(served) or price
        if behavior.status is not None:
            raise ApiError(behavior.status, f"Simulated error {behavior.status}.")
        behavior.check_only(dialect.behaviors, at=exchange.path)
        created = int(self._clock().timestamp())
        answer = dialect.answer(Call(exchange.id, created, served, body, behavior))
        # What has no price is refused while it still can be.
        exchange.price.cost_nano(answer.usage, answer.service_tier)
        exchange.answer = answer


def _parse(raw: bytes) -> JsonObject:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        message = f"We could not parse the JSON body of your request: {error}"
        raise ApiError(400, message) from None
    if not isinstance(body, dict):
        raise ApiError(400, "The JSON body of your request is not an object.")
    return body


def _model(body: JsonObject) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter", param="model")
    return model
