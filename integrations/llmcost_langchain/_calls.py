"""What the router does around one call to one of its models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID, uuid4

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    BaseCallbackHandler,
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
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from llmcost_langchain._messages import ModelName, chat_size, model_of, own_tags
from llmcost_langchain._runs import run_roots
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.errors import astart, start
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import AllModelsFailed, BudgetExceeded
from llmcost_plugins.failures import is_transient
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.money import usd_string
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.routing import Attempt
from llmcost_plugins.tracker import CostTracker, default_tracker

METADATA_KEY: Final = "llmcost"
"""Where `response_metadata` says which model answered, for how much, and why that one."""

_TRANSIENT: Final = (
    ModelRateLimitError,
    ModelAPIError,
    ModelTimeoutError,
    ModelConnectionError,
    ContextOverflowError,
)
SHORTEST_CAP: Final = 256
"""An answer is never capped below this many tokens to fit a budget."""
_CAP_NAMES: Final = {
    "google_genai": "max_output_tokens",
    "google_vertexai": "max_output_tokens",
    "ollama": "num_predict",
}

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


def route_of(run: ChainRun, tracker: CostTracker | None) -> Route:
    """Find the tracker and the labels for a run of the router, and note its outermost run."""
    attached = [h for h in run.handlers if isinstance(h, CostCallbackHandler)]
    own = tracker or (attached[0].tracker if attached else default_tracker())
    defaults = Labels()
    for handler in attached:
        if handler.tracker is own:
            defaults = defaults.merged(handler.labels)
    run_roots.enter(run.run_id, run.parent_run_id)
    metadata = {**run.metadata, **run.inheritable_metadata}
    labels = take_labels(own.label_keys, metadata, own_tags(run.inheritable_tags))
    return Route(own, labels, defaults, run_roots.of(run.run_id))


def with_handler(
    child: CallbackManager | AsyncCallbackManager, tracker: CostTracker
) -> CallbackManager | AsyncCallbackManager:
    """Make sure that one of our handlers sees the model's run, to settle it."""
    if not any(_records(handler, tracker) for handler in child.handlers):
        child.add_handler(CostCallbackHandler(tracker))
    return child


def _records(handler: BaseCallbackHandler, tracker: CostTracker) -> bool:
    return isinstance(handler, CostCallbackHandler) and handler.tracker is tracker


def name_of(model: BaseChatModel) -> ModelName:
    """Return the name of a model as its own runs will report it."""
    params = model._get_ls_params()  # noqa: SLF001 - the hook that provider packages fill
    return model_of(dict(params), {}, type(model).__name__)


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
    own = _reporting_usage(model, request.kwargs) if streamed else dict(request.kwargs)
    tools = own.get("tools")
    if isinstance(tools, RoutedTools):
        del own["tools"]
        bound: Any = model.bind_tools(tools.tools, **tools.options)
        own = {**bound.kwargs, **own}
    params = model._get_invocation_params(stop=request.stop, **own)  # noqa: SLF001 - see name_of
    metadata = dict(model._get_ls_params(stop=request.stop, **own))  # noqa: SLF001 - see name_of
    name = model_of(metadata, params, type(model).__name__)
    size = chat_size(route.tracker.sizer(name.model), request.messages, params, metadata)
    cap_name = ""
    if size.output_cap is None:
        prices = route.tracker.catalog.resolve(name.model, name.provider).prices
        cap_name = _CAP_NAMES.get(name.provider or "", "max_tokens")
        own[cap_name] = cap = route.tracker.output_cap(prices, size)
        size = replace(size, output_cap=cap)
    preferred = name_of(models[0]) if attempt.index else None
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
    return PlannedCall(model, spec, run_id, own, cap_name)


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
        return plan, start(tracker, _first_try(plan))
    except BudgetExceeded as error:
        other = _second_try(plan, attempt, tracker, error)
    return other, start(tracker, other.spec)


async def abegin(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker
) -> tuple[PlannedCall, OpenCall]:
    """Do what `begin` does, and wait by awaiting."""
    try:
        return plan, await astart(tracker, _first_try(plan))
    except BudgetExceeded as error:
        other = _second_try(plan, attempt, tracker, error)
    return other, await astart(tracker, other.spec)


def _first_try(plan: PlannedCall) -> CallSpec:
    # A refusal is not recorded while a shorter answer may fit.
    return replace(plan.spec, has_alternative=True) if plan.cap_name else plan.spec


def _second_try(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker, error: BudgetExceeded
) -> PlannedCall:
    """Return the call to try after a refusal, if there is one; raise *error* otherwise."""
    shorter = _shorter(plan, attempt, tracker, error)
    if shorter is not None:
        return shorter
    if plan.spec.has_alternative or not plan.cap_name:
        raise error
    # The same again, for the record: this refusal is the last word.
    return replace(plan, spec=replace(plan.spec, may_wait=False))


def _shorter(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker, error: BudgetExceeded
) -> PlannedCall | None:
    """Return the call with the longest answer that the budget still buys, if that is of use."""
    if not plan.cap_name or error.refusal.unit == "requests":
        return None
    cap = tracker.affordable_cap(plan.spec, error.refusal)
    floor = SHORTEST_CAP
    if not attempt.is_last:
        # Another model would rather answer in full than this one be cut off.
        floor = max(floor, tracker.usual_answer(plan.spec) or 0)
    if cap < floor or cap >= (plan.spec.size.output_cap or 0):
        return None
    size = replace(plan.spec.size, output_cap=cap)
    spec = replace(plan.spec, size=size, may_wait=False)
    return replace(plan, spec=spec, kwargs={**plan.kwargs, plan.cap_name: cap})


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
def settled(opened: OpenCall) -> Iterator[None]:
    """See to it that the call has ended when the block has, whatever LangChain reported.

    A cancelled `ainvoke` reports nothing at all.
    """
    try:
        yield
    except BaseException as error:
        opened.broke(error, received_bytes=0, usage=None)
        raise
    if not opened.settled:
        # No end event arrived although there is an answer: someone's handler was removed.
        opened.finish(opened.estimated_usage(None))


def stamp(result: LLMResult, opened: OpenCall, passed_over: Sequence[tuple[str, str]]) -> LLMResult:
    """Say in each answer which model gave it, what it cost in USD, and why others did not."""
    note: dict[str, Any] = {"model": opened.spec.model, "passed_over": list(passed_over)}
    if opened.spec.cap_is_ours:
        note["output_cap"] = opened.spec.size.output_cap
    if opened.outcome is not None:
        note["cost_usd"] = usd_string(opened.outcome.cost)
    for choices in result.generations:
        for choice in choices:
            if isinstance(choice, ChatGeneration):
                choice.message.response_metadata[METADATA_KEY] = note
    return result


def may_fall_back(error: Exception) -> bool:
    """Tell whether another model may answer where this error happened.

    Not every provider package raises LangChain's own errors (langchain-openai 1.0 does not).
    """
    return isinstance(error, (*_TRANSIENT, AllModelsFailed)) or is_transient(error)
