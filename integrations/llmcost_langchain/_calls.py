"""What the router does around one call to one of its models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import AllModelsFailed
from llmcost_plugins.failures import is_transient
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.money import usd_string
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
    if size.output_cap is None:
        prices = route.tracker.catalog.resolve(name.model, name.provider).prices
        cap = route.tracker.output_cap(prices, size)
        own[_CAP_NAMES.get(name.provider or "", "max_tokens")] = cap
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
    )
    return PlannedCall(model, spec, run_id, own)


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
