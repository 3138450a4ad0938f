"""What the router does around one call to one of its models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID, uuid4

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    CallbackManager,
    CallbackManagerForChainRun,
)
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelConnectionError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from llmcost_langchain._abilities import check_suitable, check_tools
from llmcost_langchain._messages import ModelName, chat_size, model_of, own_tags
from llmcost_langchain._recorders import recorders_among
from llmcost_langchain._runs import run_roots
from llmcost_langchain._structured import STRUCTURE, Structure
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.errors import astart, start
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.capping import first_try, second_try
from llmcost_plugins.errors import AllModelsFailed, BudgetExceeded, LLMCostError, ModelUnsuitable
from llmcost_plugins.failures import is_transient
from llmcost_plugins.labels import Labels, current_labels, take_labels
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.routing import Attempt
from llmcost_plugins.streams import Streamed
from llmcost_plugins.tracker import CostTracker

TRANSIENT: Final = (
    ModelRateLimitError,
    ModelAPIError,
    ModelTimeoutError,
    ModelConnectionError,
    ContextOverflowError,
)
_FOR_TRACING: Final = frozenset({"ls_structured_output_format", "structured_output_format"})
"""Keyword arguments that LangChain tells its tracers and no provider."""
_CAP_NAMES: Final = {
    "google_genai": "max_output_tokens",
    "google_vertexai": "max_output_tokens",
    "ollama": "num_predict",
}
"""What the parameter that caps an answer is called, by provider; ``max_tokens`` by most."""

ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool
ChainRun = CallbackManagerForChainRun | AsyncCallbackManagerForChainRun


class RoutedTools(list[dict[str, Any]]):
    """Tools in OpenAI's format, as agents look for them, that remember what they were."""

    def __init__(self, tools: Sequence[ToolLike], options: Mapping[str, Any]) -> None:
        super().__init__(convert_to_openai_tool(tool) for tool in tools)
        self.tools = tools
        self.options = options


@dataclass(frozen=True, slots=True)
class Route:
    """One run of the router: where its calls are recorded, and who causes them."""

    tracker: CostTracker
    labels: Labels
    defaults: Labels
    root: UUID

    @property
    def caused_by(self) -> Labels:
        """The labels that a call of this run has."""
        return self.defaults.merged(current_labels()).merged(self.labels)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the caller asked the router for."""

    messages: list[BaseMessage]
    stop: list[str] | None
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call to one model, ready to be held and made."""

    model: BaseChatModel
    spec: CallSpec
    run_id: UUID
    kwargs: dict[str, Any]
    cap_name: str = ""
    """The parameter that caps the answer, when the caller left it to us."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """The parameters as the caller gave them, without a cap of ours."""

    def held_as(self, spec: CallSpec) -> "PlannedCall":
        """Return the call with the answer's cap that *spec* has."""
        return replace(self, spec=spec, kwargs={**self.kwargs, self.cap_name: spec.size.output_cap})


def route_of(run: ChainRun, tracker: CostTracker | None) -> Route:
    """Find the tracker and the labels for a run of the router, and note its outermost run."""
    ours = recorders_among(run.handlers, tracker)
    run_roots.enter(run.run_id, run.parent_run_id)
    metadata = {**run.metadata, **run.inheritable_metadata}
    labels = take_labels(ours.tracker.label_keys, metadata, own_tags(run.inheritable_tags))
    return Route(ours.tracker, labels, ours.labels, run_roots.of(run.run_id))


def with_handler(
    child: CallbackManager | AsyncCallbackManager, tracker: CostTracker
) -> CallbackManager | AsyncCallbackManager:
    """Make sure that one of our handlers sees the model's run, to settle it."""
    if not any(
        isinstance(handler, CostCallbackHandler) and handler.tracker is tracker
        for handler in child.handlers
    ):
        child.add_handler(CostCallbackHandler(tracker))
    return child


def name_of(model: BaseChatModel) -> ModelName:
    """Return the name of a model as its own runs will report it."""
    params = model._get_ls_params()  # noqa: SLF001 - the hook that provider packages fill
    return model_of(dict(params), {}, type(model).__name__)


def cap_parameter(provider: str | None) -> str:
    """Return what a provider's package calls the parameter that caps an answer."""
    return _CAP_NAMES.get(provider or "", "max_tokens")


def plan_call(
    models: Sequence[BaseChatModel],
    attempt: Attempt,
    request: ChatRequest,
    route: Route,
    *,
    streamed: bool = False,
) -> PlannedCall:
    """Prepare the call to one model: its tools, its output cap, and what it can cost."""
    model = models[attempt.index]
    own = _own_kwargs(model, attempt.index, request, streamed=streamed)
    said = {key: value for key, value in own.items() if key not in _FOR_TRACING}
    params = model._get_invocation_params(stop=request.stop, **said)  # noqa: SLF001 - see name_of
    metadata = dict(model._get_ls_params(stop=request.stop, **said))  # noqa: SLF001 - see name_of
    name = model_of(metadata, params, type(model).__name__)
    size = chat_size(route.tracker.sizer(name.model), request.messages, params, metadata)
    prices = route.tracker.catalog.resolve(name.model, name.provider).prices
    if not attempt.is_last:
        # The last one is asked all the same: what is known of a model may be out of date.
        check_suitable(model, name.model, size, prices)
    cap_name = ""
    if size.output_cap is None:
        cap_name = cap_parameter(name.provider)
        own[cap_name] = cap = route.tracker.output_cap(prices, size)
        size = replace(size, output_cap=cap)
    preferred = name_of(models[attempt.preferred]) if attempt.index != attempt.preferred else None
    run_id = uuid4()
    spec = CallSpec(
        id=str(run_id),
        model=name.model,
        provider=name.provider,
        size=size,
        labels=route.labels,
        defaults=route.defaults,
        run=str(route.root),
        preferred=preferred.model if preferred else None,
        preferred_provider=preferred.provider if preferred else None,
        has_alternative=not attempt.is_last,
        may_wait=attempt.may_wait,
        watched=True,
        cap_is_ours=bool(cap_name),
    )
    return PlannedCall(model, spec, run_id, own, cap_name, said)


def begin(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker
) -> tuple[PlannedCall, OpenCall]:
    """Hold for a call; with a shorter answer if that is what fits, and the cap is ours to lower.

    Raises:
        BudgetExceeded: a budget cannot pay for it.
        PriceUnknown: a budget applies and no price is known.
        LedgerUnavailable: nothing can be held.
    """
    try:
        return plan, start(tracker, first_try(plan.spec))
    except BudgetExceeded as error:
        other = plan.held_as(second_try(tracker, plan.spec, error, is_last=attempt.is_last))
    return other, start(tracker, other.spec)


async def abegin(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker
) -> tuple[PlannedCall, OpenCall]:
    """Do what `begin` does, and wait by awaiting."""
    try:
        return plan, await astart(tracker, first_try(plan.spec))
    except BudgetExceeded as error:
        other = plan.held_as(second_try(tracker, plan.spec, error, is_last=attempt.is_last))
    return other, await astart(tracker, other.spec)


def _own_kwargs(
    model: BaseChatModel, index: int, request: ChatRequest, *, streamed: bool
) -> dict[str, Any]:
    """Return the keyword arguments for one model, its tools and structure in its own form."""
    own = _reporting_usage(model, request.kwargs) if streamed else dict(request.kwargs)
    own.pop("cache", None)  # the caller's word on our cache, see `Shelf`
    structure = own.pop(STRUCTURE, None)
    if isinstance(structure, Structure):
        own = {**structure.of(index).kwargs, **own}
    tools = own.get("tools")
    if isinstance(tools, RoutedTools):
        check_tools(model, type(model).__name__)
        del own["tools"]
        try:
            bound: Any = model.bind_tools(tools.tools, **tools.options)
        except NotImplementedError as error:
            msg = f"{type(model).__name__} calls no tools"
            raise ModelUnsuitable(msg) from error
        own = {**bound.kwargs, **own}
    return own


def prefers_cheaper(models: Sequence[BaseChatModel], route: Route) -> bool:
    """Tell whether a budget of the run is past the part from which cheaper models are preferred."""
    name = name_of(models[0])
    spec = CallSpec(
        id="",
        model=name.model,
        provider=name.provider,
        size=CallSize(0, 0),
        labels=route.labels,
        defaults=route.defaults,
        run=str(route.root),
    )
    return route.tracker.prefers_cheaper(spec)


def _reporting_usage(model: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a model that can to report the usage of a stream, unless the user decided.

    langchain-openai does so by itself only for OpenAI's own address.
    """
    undecided = getattr(model, "stream_usage", False) is None and "stream_usage" not in kwargs
    return {**kwargs, "stream_usage": True} if undecided else dict(kwargs)


@contextmanager
def settled(opened: OpenCall) -> Iterator[Streamed]:
    """See to it that the call has ended when the block has, whatever LangChain reported.

    A cancelled `ainvoke` reports nothing at all. The block gets what counts the parts of an answer
    that only it sees.
    """
    streamed = opened.streamed()
    try:
        yield streamed
    except BaseException as error:
        opened.broke(error, received_bytes=streamed.received_bytes, usage=None)
        raise
    if not opened.settled:
        # No end event arrived although there is an answer: someone's handler was removed.
        opened.finish(opened.estimated_usage(None))


def starts_cool_down(error: Exception) -> bool:
    """Tell whether a model that has failed so is likely to fail again in a moment."""
    return not isinstance(error, ContextOverflowError | LLMCostError) and may_fall_back(error)


def may_fall_back(error: Exception) -> bool:
    """Tell whether another model may answer where this error happened.

    Not every provider package raises LangChain's own errors (langchain-openai 1.0 does not).
    """
    return isinstance(error, (*TRANSIENT, AllModelsFailed)) or is_transient(error)
