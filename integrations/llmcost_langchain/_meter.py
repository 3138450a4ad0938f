"""Holds for and settles what one call of an embeddings or compressor object sends."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import uuid4

from llmcost_langchain._messages import ModelName
from llmcost_langchain._place import Place
from llmcost_langchain._taps import tapped
from llmcost_langchain.errors import astart, start
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import LLMCostError
from llmcost_plugins.texts import Texts, settle, settle_failure

_MODELS: Final = ("model", "model_name", "model_id", "deployment", "azure_deployment")
_ITEMS: Final = ("input", "inputs", "texts", "documents")
_LONGEST: Final = "max_tokens_per_doc"
_FAMILIES: Final = frozenset({"langchain_core", "langchain_classic", "langchain_tests"})
_KINDS: Final = ("embeddings", "rerank", "reranker", "compressor")

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a wrapped object calls.

    Attributes:
        name: the model.
        fixed: whether the user of the wrapper has stated the model, so that no request's own
            parameter counts.
        configured: the model parameter that the object sends by itself.
    """

    name: ModelName
    fixed: bool
    configured: object

    @classmethod
    def of(cls, component: object, model: str | None, provider: str | None) -> "Wrapped":
        """Find out what *component* calls, unless it is stated."""
        name = model or _model_of(component) or type(component).__name__
        found = ModelName(name, provider or _provider_of(component))
        return cls(found, model is not None, getattr(component, "model", None))

    def asked(self, arguments: Mapping[str, Any]) -> str:
        """Return the model that a request asks for."""
        said = arguments.get("model")
        if self.fixed or not isinstance(said, str) or said == self.configured:
            return self.name.model
        return said


@dataclass(slots=True)
class Meter:
    """Sees the requests of one call of a wrapped object.

    Attributes:
        place: where they are recorded, and who causes them.
        wrapped: what is called.
        given: the texts of the whole call.
        several: whether the call may send several requests where none of them is seen.
        requests: how many were seen.
    """

    place: Place
    wrapped: Wrapped
    given: Texts
    several: bool = False
    requests: int = field(default=0, init=False)

    def open(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Hold for a request.

        Raises:
            BudgetExceeded: a budget cannot pay for it; it was not sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        self.requests += 1
        return start(self.place.tracker, self._spec(arguments))

    async def aopen(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Do what `open` does, and wait by awaiting."""
        self.requests += 1
        return await astart(self.place.tracker, self._spec(arguments))

    def close(self, opened: OpenCall, answer: object, arguments: Mapping[str, Any]) -> None:
        """Settle an answered request. Never raises."""
        self.place.count(settle(opened, answer, self._sent(arguments)))

    def fail(self, opened: OpenCall, error: BaseException) -> None:
        """Settle a request that failed or was broken off. Never raises."""
        self.place.count(settle_failure(opened, error))

    def fail_whole(self, opened: OpenCall, error: BaseException) -> None:
        """Settle a failed call whose requests were not seen. Never raises."""
        self.place.count(settle_failure(opened, error, several=self.several))

    def check_seen(self) -> None:
        """Record an estimate where texts were answered for without a request. Never raises.

        A class may send by other ways than its client, and nothing is free by accident.
        """
        if self.requests or not self.given.items:
            return
        tracker = self.place.tracker
        try:
            opened = tracker.start(self._spec({}))
        except LLMCostError:
            model = self.wrapped.name.model
            tracker.note_failure("a call to %r bypassed its client and is not recorded", model)
        else:
            self.close(opened, None, {})

    def _spec(self, arguments: Mapping[str, Any]) -> CallSpec:
        model, place = self.wrapped.asked(arguments), self.place
        return CallSpec(
            id=str(uuid4()),
            model=model,
            provider=self.wrapped.name.provider,
            size=self._sent(arguments).size(place.tracker.sizer(model)),
            labels=place.labels,
            defaults=place.defaults,
            run=place.run,
            watched=True,
        )

    def _sent(self, arguments: Mapping[str, Any]) -> Texts:
        items = next((v for name in _ITEMS if (v := arguments.get(name)) is not None), None)
        if isinstance(items, str) or (isinstance(items, list) and _is_one(items)):
            items = [items]
        if not isinstance(items, list | tuple):
            return self.given
        query = self.given.query
        if query is not None and isinstance(arguments.get("query"), str):
            query = arguments["query"]
        longest = arguments.get(_LONGEST)
        return Texts(items, query, longest if isinstance(longest, int) and longest > 0 else None)


def metered(component: C, methods: frozenset[str], meter: Meter, send: Callable[[C], R]) -> R:
    """Let *send* use the component, each request of which is held for and settled.

    Where its client cannot be listened to, the whole is one call.

    Raises:
        BudgetExceeded: a budget cannot pay for a request; those before it are paid for.
        PriceUnknown: a budget applies and no price is known.
        LedgerUnavailable: nothing can be held.
    """
    other = tapped(component, methods, meter)
    if other is not None or not meter.given.items:
        answer = send(component if other is None else other)
        meter.check_seen()
        return answer
    opened = meter.open({})
    try:
        answer = send(component)
    except BaseException as error:
        meter.fail_whole(opened, error)
        raise
    meter.close(opened, None, {})
    return answer


async def ametered(
    component: C, methods: frozenset[str], meter: Meter, send: Callable[[C], Awaitable[R]]
) -> R:
    """Do what `metered` does, and wait by awaiting."""
    other = tapped(component, methods, meter)
    if other is not None or not meter.given.items:
        answer = await send(component if other is None else other)
        meter.check_seen()
        return answer
    opened = await meter.aopen({})
    try:
        answer = await send(component)
    except BaseException as error:
        meter.fail_whole(opened, error)
        raise
    meter.close(opened, None, {})
    return answer


def _is_one(items: list[Any]) -> bool:
    """Tell whether it is one text, given as token ids."""
    return bool(items) and isinstance(items[0], int)


def _model_of(component: object) -> str | None:
    stated: frozenset[str] = getattr(component, "model_fields_set", frozenset())
    # Azure's class has another model's name for a default: the deployment says more.
    names = ("deployment",) if "deployment" in stated and "model" not in stated else _MODELS
    found = (getattr(component, name, None) for name in names)
    return next((name for name in found if isinstance(name, str) and name), None)


def _provider_of(component: object) -> str | None:
    """Return the provider by the package of the component's class, or of one it derives from."""
    for kind in type(component).__mro__:
        package, plain = kind.__module__.partition(".")[0], kind.__name__.lower()
        if package == "langchain_openai" and plain.startswith("azure"):
            return "azure"
        if package == "langchain_community":
            return next((plain.removesuffix(k) for k in _KINDS if plain.endswith(k)), None)
        if package.startswith("langchain_") and package not in _FAMILIES:
            return package.removeprefix("langchain_")
    return None
