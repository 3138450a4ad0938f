"""`FallbackRouter`: an LLM that answers with the best model the budget can pay for."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing
from datetime import timedelta
from typing import Any, ClassVar, Final, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr, SerializeAsAny
from llama_index.core.instrumentation.events.llm import LLMPredictEndEvent, LLMPredictStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model, TokenAsyncGen, TokenGen
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex._asks import (
    Ask,
    ChatAsk,
    CompleteAsk,
    PromptAsk,
    StructureAsk,
    ToolsAsk,
    text_of,
)
from llmcost_llamaindex._candidates import candidates, each_once
from llmcost_llamaindex._ladder import Ladder
from llmcost_llamaindex._notes import candidate_of
from llmcost_llamaindex._routes import Route, name_of, route_of
from llmcost_llamaindex._shelf import Shelf
from llmcost_plugins.cool_downs import CoolDowns
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.policies import PolicyLike, make_policy
from llmcost_plugins.tracker import CostTracker

_OF_MODELS: Final = ("system_prompt", "output_parser", "query_wrapper_prompt")
_STAYS: Final = frozenset({"callback_manager", "cool_downs", "rate_limiter", "tracker"})
_COOL_DOWN: Final = timedelta(seconds=30)
_dispatcher: Final = get_dispatcher(__name__)


class FallbackRouter(FunctionCallingLLM):
    """Answers with the first of its models that budgets can pay for and that does not fail.

    Works wherever an LLM does: ``Settings.llm``, engines, agents, workflows. It holds the money of
    a call before the model is called. When a budget whose action is ``fallback`` refuses the hold,
    or the provider fails before anything was received, the next model gets its turn. A call without
    an output cap is capped at ``LLMCOST_MAX_OUTPUT_TOKENS`` where the model's class takes one with
    a call, so that the hold is a true upper bound. A cap of your own is never lowered.

    Each method of LlamaIndex is handed on whole, so that tools, structures and prompts take the
    form of the model that answers. A conversation that another provider's model began is put into
    the form that the next one can send; yours is not changed. With or without `install`, each call
    is recorded once. Chat and completion responses say in ``additional_kwargs["llmcost"]`` who
    answered, why others did not, and what it has cost (in a stream: once it has ended).

    Give the models ``max_retries=0`` or little more: a model tries again by itself before the
    router hears of a failure (OpenAI's class twelve times by default, for ten seconds and more).
    One router serves one event loop, as its models' clients do.

    It pickles, with its models' credentials as LlamaIndex's models do; its `tracker`, `cool_downs`
    and `callback_manager` belong to the process and stay behind. A deep copy shares the models.
    What `to_dict` says of it is for keys and logs: it has no credentials, and `from_dict` refuses.

    Attributes:
        models: from preferred to cheapest: LLM objects, or names such as ``openai:gpt-4o`` (made
            with the defaults of the class of that package). A router among them stands for its
            models; one that comes twice is asked once. By default what ``LLMCOST_FALLBACK_MODELS``
            names. Those that cannot do a call (tools, structured output, images, a prompt of that
            length) are passed over.
        tracker: where to record; by default that of `install`, else the one set up by the
            environment variables.
        policy: which model is asked first: ``ladder`` (the order of *models*), ``cheapest`` (by
            what this very request is expected to cost), a list of `Rule`, or a function (`Policy`).
        cool_downs: for how long a model that failed is asked last, and which did; by default 30
            seconds. Give several routers the same one to let them share what they know.
        cache: where answers are kept and looked for before anything is held: a `CompletionCache`,
            True for the one that the environment variables describe, False for none; by default as
            ``LLMCOST_CACHE`` says. One call says so itself with ``cache=False`` or ``cache=True``.
        stream_usage: whether to ask OpenAI's and LiteLLM's classes to report the usage of streams,
            where you have not said so yourself. Switch it off for a server that refuses it; the
            cost of its streams is then estimated.

    Raises:
        ConfigurationError: there is no model, or an argument cannot be used.
    """

    models: list[SerializeAsAny[LLM]]
    tracker: CostTracker | None = Field(default=None, exclude=True, repr=False)
    policy: Any = Field(default="ladder", exclude=True, repr=False)
    cool_downs: CoolDowns = Field(
        default_factory=lambda: CoolDowns(_COOL_DOWN), exclude=True, repr=False
    )
    cache: Any = Field(default=None, exclude=True, repr=False)
    stream_usage: bool = True
    holds_for_itself: ClassVar[bool] = True
    _ladder: Ladder = PrivateAttr()

    def __init__(
        self,
        models: Sequence[LLM | str] | None = None,
        *,
        tracker: CostTracker | None = None,
        policy: PolicyLike = "ladder",
        **options: Any,
    ) -> None:
        flat: list[LLM] = []
        # A router inside a router would hold the money of one call twice.
        for model in candidates(models):
            flat.extend(model.models if isinstance(model, FallbackRouter) else [model])
        flat = each_once(flat)
        if not flat:
            msg = "a router needs at least one model; pass them from preferred to cheapest"
            raise ConfigurationError(msg)
        for name in _OF_MODELS:
            if options.get(name) is not None:
                msg = (
                    f"{name!r} belongs to the models: give it to each of them, not to their router"
                )
                raise ConfigurationError(msg)
        fields: dict[str, Any] = {"models": flat, "tracker": tracker, "policy": policy, **options}
        super().__init__(**fields)
        self._build()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "models":
            msg = "the models of a router do not change; make a new FallbackRouter"
            raise ConfigurationError(msg)
        super().__setattr__(name, value)
        if name in {"policy", "cool_downs", "cache"}:
            self._build()
        if name == "callback_manager" and "models" in self.__dict__:
            # `Settings.llm` hands its own on so, and only the models use it.
            for model in self.models:
                model.callback_manager = value

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return a router of its own over the same models: their clients cannot be copied."""
        return self.model_copy()

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles. LlamaIndex's own way takes the rest away from this router, too."""
        state = {name: value for name, value in self.__dict__.items() if name not in _STAYS}
        return {
            "__dict__": state,
            "__pydantic_extra__": None,
            "__pydantic_fields_set__": self.model_fields_set & state.keys(),
            "__pydantic_private__": None,
        }

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - LlamaIndex's signature
        """Say what the router is, without credentials.

        Args:
            kwargs: taken for LlamaIndex's sake.
        """
        return {
            "class_name": self.class_name(),
            "models": [model.to_payload() for model in self.models],
            "policy": self.policy if isinstance(self.policy, str) else type(self.policy).__name__,
            "stream_usage": self.stream_usage,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:  # noqa: ARG003 - see to_dict
        """Refuse: what `to_dict` says has neither the models' classes nor their credentials.

        Raises:
            ConfigurationError: always.
        """
        msg = "a router is made of its models: call FallbackRouter(models), or pickle it"
        raise ConfigurationError(msg)

    @classmethod
    def class_name(cls) -> str:
        """Return the name of this class in LlamaIndex's registers."""
        return "llmcost_router"

    @property
    def metadata(self) -> LLMMetadata:
        """What all of the models can do, under the name of the first."""
        each = [model.metadata for model in self.models]
        return LLMMetadata(
            context_window=min(one.context_window for one in each),
            num_output=min((one.num_output for one in each if one.num_output > 0), default=-1),
            is_chat_model=all(one.is_chat_model for one in each),
            is_function_calling_model=all(one.is_function_calling_model for one in each),
            model_name=name_of(self.models[0]),
            system_role=each[0].system_role,
        )

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages.

        Raises:
            BudgetExceeded: no model fits the budgets; that of the last one.
            AllModelsFailed: no model answered, for several reasons.
        """
        answer: ChatResponse = self._answer(ChatAsk(messages, kwargs))
        return answer

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages; raises as `chat` does."""
        answer: ChatResponse = await self._aanswer(ChatAsk(messages, kwargs))
        return answer

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream the answer to messages; nothing is held or sent before the first chunk is read.

        Falls back only before the first chunk; raises as `chat` does.
        """
        return self._ladder.stream(ChatAsk(messages, kwargs), self._route())

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Do what `stream_chat` does."""
        return self._ladder.astream(ChatAsk(messages, kwargs), self._route())

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt; raises as `chat` does."""
        answer: CompletionResponse = self._answer(CompleteAsk(prompt, formatted, kwargs))
        return answer

    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,
    ) -> CompletionResponse:
        """Complete a prompt; raises as `chat` does."""
        answer: CompletionResponse = await self._aanswer(CompleteAsk(prompt, formatted, kwargs))
        return answer

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,
    ) -> CompletionResponseGen:
        """Stream the completion of a prompt, as `stream_chat` does."""
        return self._ladder.stream(CompleteAsk(prompt, formatted, kwargs), self._route())

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Stream the completion of a prompt, as `stream_chat` does."""
        return self._ladder.astream(CompleteAsk(prompt, formatted, kwargs), self._route())

    def chat_with_tools(  # noqa: PLR0913, PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer with tool calls or a text; raises as `chat` does."""
        options = _tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        answer: ChatResponse = self._answer(ToolsAsk(tools, user_msg, chat_history, options))
        return answer

    async def achat_with_tools(  # noqa: PLR0913, PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer with tool calls or a text; raises as `chat` does."""
        options = _tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        answer: ChatResponse = await self._aanswer(ToolsAsk(tools, user_msg, chat_history, options))
        return answer

    def stream_chat_with_tools(  # noqa: PLR0913, PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Stream tool calls or a text, as `stream_chat` does."""
        options = _tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        return self._ladder.stream(ToolsAsk(tools, user_msg, chat_history, options), self._route())

    async def astream_chat_with_tools(  # noqa: PLR0913, PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Stream tool calls or a text, as `stream_chat` does."""
        options = _tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        return self._ladder.astream(ToolsAsk(tools, user_msg, chat_history, options), self._route())

    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # Only asked by code that goes around the methods above; theirs is the model's own.
        first: Any = self.models[0]
        prepared: dict[str, Any] = first._prepare_chat_with_tools(*args, **kwargs)  # noqa: SLF001 - the hook itself
        return prepared

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,
    ) -> list[ToolSelection]:
        """Return the tool calls of an answer, as the model that gave it reads them.

        Raises:
            ValueError: there is none, and that was called an error.
        """
        index = candidate_of(response)
        model: Any = self.models[index if index is not None and index < len(self.models) else 0]
        found: list[ToolSelection] = model.get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )
        return found

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """Answer a prompt with a text; raises as `chat` does."""
        self._tell(prompt, prompt_args)
        answer, model = self._ladder.answer(PromptAsk(prompt, prompt_args), self._route())
        return _predicted(answer, model)

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """Answer a prompt with a text; raises as `chat` does."""
        self._tell(prompt, prompt_args)
        answer, model = await self._ladder.aanswer(PromptAsk(prompt, prompt_args), self._route())
        return _predicted(answer, model)

    def stream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenGen:
        """Stream the answer to a prompt as texts, as `stream_chat` does."""
        self._check_no_parser(prompt)
        self._tell(prompt, prompt_args)
        return _texts(self._ladder.stream(PromptAsk(prompt, prompt_args), self._route()))

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenAsyncGen:
        """Stream the answer to a prompt as texts, as `stream_chat` does."""
        self._check_no_parser(prompt)
        self._tell(prompt, prompt_args)
        return _atexts(self._ladder.astream(PromptAsk(prompt, prompt_args), self._route()))

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with a structure, each model in its own way; raises as `chat` does.

        Anthropic's and Google's classes are asked by way of tools: their own way tells nobody what
        it has cost.
        """
        ask = StructureAsk(output_cls, prompt, llm_kwargs or {}, prompt_args)
        found: Model = self._answer(ask)
        return found

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Do what `structured_predict` does."""
        ask = StructureAsk(output_cls, prompt, llm_kwargs or {}, prompt_args)
        found: Model = await self._aanswer(ask)
        return found

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any]:
        """Stream a structure as it grows, as `structured_predict` and `stream_chat` do."""
        ask = StructureAsk(output_cls, prompt, llm_kwargs or {}, prompt_args)
        return self._ladder.stream(ask, self._route())

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any]:
        """Do what `stream_structured_predict` does."""
        ask = StructureAsk(output_cls, prompt, llm_kwargs or {}, prompt_args)
        return self._ladder.astream(ask, self._route())

    def _build(self) -> None:
        made = make_policy(self.policy, [name_of(model) for model in self.models])
        self._ladder = Ladder(self.models, made, self.cool_downs, Shelf(self.cache))

    def _route(self) -> Route:
        return route_of(self.tracker, reports_usage=self.stream_usage)

    def _answer(self, ask: Ask) -> Any:
        answer, _ = self._ladder.answer(ask, self._route())
        return answer

    async def _aanswer(self, ask: Ask) -> Any:
        answer, _ = await self._ladder.aanswer(ask, self._route())
        return answer

    def _tell(self, prompt: BasePromptTemplate, prompt_args: dict[str, Any]) -> None:
        """Tell LlamaIndex's own observers of a prompt, as its `LLM.predict` does."""
        _dispatcher.event(LLMPredictStartEvent(template=prompt, template_args=prompt_args))
        self._log_template_data(prompt, **prompt_args)

    def _check_no_parser(self, prompt: BasePromptTemplate) -> None:
        if prompt.output_parser is not None or any(m.output_parser for m in self.models):
            msg = "a text that has to be parsed cannot be streamed; call predict() instead"
            raise NotImplementedError(msg)


def _tool_options(
    verbose: bool, parallel: bool, required: bool, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the options of a call with tools; not those left out, which not all classes know."""
    said = {
        "verbose": verbose,
        "allow_parallel_tool_calls": parallel,
        "tool_required": required,
    }
    return {**{name: True for name, value in said.items() if value}, **kwargs}


def _predicted(answer: Any, model: LLM) -> str:
    parsed = model._parse_output(text_of(answer))  # noqa: SLF001 - as LlamaIndex's `predict` does
    _dispatcher.event(LLMPredictEndEvent(output=parsed))
    return parsed


def _texts(chunks: Generator[Any]) -> Generator[str]:
    with closing(chunks):
        for chunk in chunks:
            yield chunk.delta or ""


async def _atexts(chunks: AsyncGenerator[Any]) -> AsyncGenerator[str]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk.delta or ""
