"""`FallbackRouter`: a chat model that answers with the best model the budget can pay for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForChainRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult, RunInfo
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from pydantic import ConfigDict, Field, PrivateAttr

from llmcost_langchain._abilities import shared_profile
from llmcost_langchain._calls import ChatRequest, RoutedTools, ToolLike, name_of, route_of
from llmcost_langchain._candidates import candidates, chat_models
from llmcost_langchain._event_streams import pulled, pushed
from llmcost_langchain._ladder import FINISH, Event, Ladder
from llmcost_langchain._runs import run_roots
from llmcost_langchain._shelf import Shelf
from llmcost_langchain._structured import structured
from llmcost_plugins.cool_downs import CoolDowns
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.policies import PolicyLike, make_policy
from llmcost_plugins.tracker import CostTracker

_COOL_DOWN = timedelta(seconds=30)


class FallbackRouter(BaseChatModel):
    """Answers with the first of its models that budgets can pay for and that does not fail.

    Works wherever a chat model does. It holds the money of a call before the model is called. When
    a budget whose action is ``fallback`` refuses the hold, or the provider fails before anything
    was received, the next model gets its turn. A call without an output cap is capped at
    ``LLMCOST_MAX_OUTPUT_TOKENS``, so that the hold is a true upper bound.

    To LangChain it is a chain run whose children are the models' own runs, so that no handler
    counts a call twice. With or without a `CostCallbackHandler`, each call is recorded once.

    Attributes:
        models: from preferred to cheapest: chat models, or names such as ``openai:gpt-4o`` (made by
            LangChain's `init_chat_model`, from the package `langchain`). A router among them stands
            for its models; one that comes twice is asked once. By default what
            ``LLMCOST_FALLBACK_MODELS`` names.
        tracker: where to record; by default that of an attached `CostCallbackHandler`, else the one
            set up by the environment variables.
        policy: which model is asked first: ``ladder`` (the order of *models*), ``cheapest`` (by
            what this very request is expected to cost), a list of `Rule`, or a function (`Policy`).
        cool_downs: for how long a model that failed is asked last, and which did; by default 30
            seconds. Give several routers the same one to let them share what they know.
        cache: where answers are kept and looked for before anything is held: a `CompletionCache`,
            True for the one that the environment variables describe, False for none; by default as
            ``LLMCOST_CACHE`` says. One call says so itself with ``cache=False`` or ``cache=True``.

    Raises:
        ConfigurationError: there is no model, or an argument cannot be used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: Sequence[BaseChatModel]
    tracker: CostTracker | None = Field(default=None, exclude=True, repr=False)
    policy: Any = Field(default="ladder", repr=False)
    cool_downs: CoolDowns = Field(
        default_factory=lambda: CoolDowns(_COOL_DOWN), exclude=True, repr=False
    )
    _ladder: Ladder = PrivateAttr()

    def __init__(
        self,
        models: Sequence[BaseChatModel | str] | None = None,
        *,
        tracker: CostTracker | None = None,
        policy: PolicyLike = "ladder",
        **options: Any,
    ) -> None:
        flat: list[BaseChatModel] = []
        # A router inside a router would hold the money of one call twice.
        for model in candidates(models):
            flat.extend(model.models if isinstance(model, FallbackRouter) else [model])
        flat = chat_models(flat)
        if not flat:
            msg = "a router needs at least one model; pass them from preferred to cheapest"
            raise ConfigurationError(msg)
        fields: dict[str, Any] = {"models": flat, "tracker": tracker, "policy": policy, **options}
        super().__init__(**fields)
        made = make_policy(policy, [name_of(model).model for model in flat])
        self._ladder = Ladder(flat, made, self.cool_downs, Shelf(self.cache))

    @property
    def _llm_type(self) -> str:
        return "llmcost-router"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.models[0]._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 - LangChain's hook

    def bind_tools(
        self, tools: Sequence[ToolLike], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each model gets them in its own provider's format when it is called."""
        options = dict(kwargs) if tool_choice is None else {**kwargs, "tool_choice": tool_choice}
        return self.bind(tools=RoutedTools(tools, options))

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer with a structure; each model asks for it and reads it in its own way.

        Args:
            schema: see `BaseChatModel.with_structured_output`.
            include_raw: likewise.
            kwargs: what the models' packages take, such as ``method``; all of them get it.

        Raises:
            ConfigurationError: a package does not build structured output in LangChain's usual way.
        """
        return structured(self, self.models, schema, kwargs, include_raw=include_raw)

    def get_token_ids(self, text: str) -> list[int]:
        """Count as the preferred model does, unless *custom_get_token_ids* says how."""
        if self.custom_get_token_ids is not None:
            return super().get_token_ids(text)
        return self.models[0].get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Count as the preferred model does, unless *custom_get_token_ids* says how."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        return self.models[0].get_num_tokens(text)  # some classes ask their provider here

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **options: Any
    ) -> int:
        """Count as the preferred model does, unless *custom_get_token_ids* says how."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        return self.models[0].get_num_tokens_from_messages(messages, tools, **options)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return shared_profile(self.models)

    def generate(  # noqa: PLR0913 - LangChain's signature
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer each list of messages, one after the other; see `BaseChatModel.generate`.

        Raises:
            BudgetExceeded: no model fits the budgets; that of the last one.
            AllModelsFailed: no model answered, for several reasons.
        """
        config = _config(callbacks, tags, metadata, run_name, run_id)
        run = self._begin(messages, config)
        route = route_of(run, self.tracker)
        try:
            results = [
                self._ladder.answer(ChatRequest(prompt, stop, kwargs), run, route)
                for prompt in messages
            ]
        except BaseException as error:
            run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        run.on_chain_end({"output": _answers(results)})
        return _joined(results, run.run_id)

    async def agenerate(  # noqa: PLR0913 - LangChain's signature
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer each list of messages, all at the same time; raises as `generate` does."""
        config = _config(callbacks, tags, metadata, run_name, run_id)
        run = await self._abegin(messages, config)
        route = route_of(run, self.tracker)
        answers = (
            self._ladder.aanswer(ChatRequest(prompt, stop, kwargs), run, route)
            for prompt in messages
        )
        try:
            # All are awaited before the first error is raised: a call under way is paid for.
            gathered = await asyncio.gather(*answers, return_exceptions=True)
            results = [_result_or_raise(result) for result in gathered]
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        await run.on_chain_end({"output": _answers(results)})
        return _joined(results, run.run_id)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream an answer; falls back only before the first chunk."""
        messages = self._convert_input(input).to_messages()
        run = self._begin([messages], ensure_config(config))
        route = route_of(run, self.tracker)
        chunks: list[AIMessageChunk] = []
        try:
            with closing(
                self._ladder.stream(ChatRequest(messages, stop, kwargs), run, route)
            ) as answer:
                for chunk in answer:
                    chunks.append(chunk)
                    yield chunk
        except BaseException as error:
            run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        run.on_chain_end({"output": _merged(chunks)})

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream an answer; falls back only before the first chunk."""
        messages = self._convert_input(input).to_messages()
        run = await self._abegin([messages], ensure_config(config))
        route = route_of(run, self.tracker)
        chunks: list[AIMessageChunk] = []
        try:
            async with aclosing(
                self._ladder.astream(ChatRequest(messages, stop, kwargs), run, route)
            ) as answer:
                async for chunk in answer:
                    chunks.append(chunk)
                    yield chunk
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        await run.on_chain_end({"output": _merged(chunks)})

    def _chat_model_stream_v3(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> ChatModelStream:
        messages = self._convert_input(input).to_messages()
        return pulled(self._events(ChatRequest(messages, stop, kwargs), ensure_config(config)))

    async def _achat_model_stream_v3(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncChatModelStream:
        messages = self._convert_input(input).to_messages()
        return pushed(self._aevents(ChatRequest(messages, stop, kwargs), ensure_config(config)))

    def _events(self, request: ChatRequest, config: RunnableConfig) -> Generator[Event]:
        """Yield the events of an answer; the last one when the run has ended.

        Nobody asks for more after it.
        """
        run = self._begin([request.messages], config)
        route = route_of(run, self.tracker)
        finish: Event = {}
        try:
            with closing(self._ladder.events(request, run, route)) as events:
                for event in events:
                    if event.get("event") == FINISH:
                        finish = event
                    else:
                        yield event
        except BaseException as error:
            run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        run.on_chain_end({"output": finish})
        if finish:
            yield finish

    async def _aevents(self, request: ChatRequest, config: RunnableConfig) -> AsyncGenerator[Event]:
        """Do what `_events` does."""
        run = await self._abegin([request.messages], config)
        route = route_of(run, self.tracker)
        finish: Event = {}
        try:
            async with aclosing(self._ladder.aevents(request, run, route)) as events:
                async for event in events:
                    if event.get("event") == FINISH:
                        finish = event
                    else:
                        yield event
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        finally:
            run_roots.leave(run.run_id)
        await run.on_chain_end({"output": finish})
        if finish:
            yield finish

    def _begin(
        self, messages: list[list[BaseMessage]], config: RunnableConfig
    ) -> CallbackManagerForChainRun:
        manager = CallbackManager.configure(*self._configuration(config))
        return manager.on_chain_start(
            None, {"messages": messages}, run_id=config.get("run_id"), name=_name(config)
        )

    async def _abegin(
        self, messages: list[list[BaseMessage]], config: RunnableConfig
    ) -> AsyncCallbackManagerForChainRun:
        manager = AsyncCallbackManager.configure(*self._configuration(config))
        return await manager.on_chain_start(
            None, {"messages": messages}, run_id=config.get("run_id"), name=_name(config)
        )

    def _configuration(self, config: RunnableConfig) -> tuple[Any, ...]:
        return (
            config.get("callbacks"),
            self.callbacks,
            self.verbose,
            config.get("tags"),
            self.tags,
            config.get("metadata"),
            self.metadata,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - see below
        **kwargs: Any,
    ) -> ChatResult:
        # Reached only by code that bypasses `generate`; its run manager is an LLM run's, which
        # has no children, so that the answer becomes a run of its own.
        result = self.generate([messages], stop, **kwargs)
        return ChatResult(generations=cast("list[ChatGeneration]", result.generations[0]))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - see _generate
        **kwargs: Any,
    ) -> ChatResult:
        result = await self.agenerate([messages], stop, **kwargs)
        return ChatResult(generations=cast("list[ChatGeneration]", result.generations[0]))


def _config(
    callbacks: Callbacks,
    tags: list[str] | None,
    metadata: dict[str, Any] | None,
    run_name: str | None,
    run_id: UUID | None,
) -> RunnableConfig:
    return cast(
        "RunnableConfig",
        {
            "callbacks": callbacks,
            "tags": tags,
            "metadata": metadata,
            "run_name": run_name,
            "run_id": run_id,
        },
    )


def _name(config: RunnableConfig) -> str:
    return config.get("run_name") or FallbackRouter.__name__


def _result_or_raise(result: LLMResult | BaseException) -> LLMResult:
    if isinstance(result, BaseException):
        raise result
    return result


def _joined(results: Sequence[LLMResult], run_id: UUID) -> LLMResult:
    generations = [choices for result in results for choices in result.generations]
    llm_output = results[0].llm_output if len(results) == 1 else None
    return LLMResult(generations=generations, llm_output=llm_output, run=[RunInfo(run_id=run_id)])


def _answers(results: Sequence[LLMResult]) -> Any:
    first = results[0].generations[0][0] if len(results) == 1 else None
    if isinstance(first, ChatGeneration):
        return first.message
    return [result.generations for result in results]


def _merged(chunks: list[AIMessageChunk]) -> Any:
    return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks
