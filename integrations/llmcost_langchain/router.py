"""`FallbackRouter`: a chat model that answers with the best model the budget can pay for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any, Final, NoReturn, cast
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
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult, RunInfo
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from pydantic import ConfigDict, Field, field_validator

from llmcost_langchain._calls import (
    ChatRequest,
    PlannedCall,
    Route,
    RoutedTools,
    ToolLike,
    abegin,
    begin,
    may_fall_back,
    name_of,
    plan_call,
    prefers_cheaper,
    route_of,
    settled,
    stamp,
    with_handler,
)
from llmcost_langchain._runs import run_roots
from llmcost_plugins.errors import LLMCostError
from llmcost_plugins.routing import Attempts
from llmcost_plugins.tracker import CostTracker

_ENDS: Final = "the attempts of a router end by returning or raising"


class FallbackRouter(BaseChatModel):
    """Answers with the first of its models that budgets can pay for and that does not fail.

    Works wherever a chat model does. It holds the money of a call before the model is called. When
    a budget whose action is ``fallback`` refuses the hold, or the provider fails before anything
    was received, the next model gets its turn. A call without an output cap is capped at
    ``LLMCOST_MAX_OUTPUT_TOKENS``, so that the hold is a true upper bound.

    To LangChain it is a chain run whose children are the models' own runs, so that no handler
    counts a call twice. With or without a `CostCallbackHandler`, each call is recorded once.

    Attributes:
        models: from preferred to cheapest. A router among them stands for its models.
        tracker: where to record; by default that of an attached `CostCallbackHandler`, else the one
            set up by the environment variables.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: Sequence[BaseChatModel] = Field(min_length=1)
    tracker: CostTracker | None = Field(default=None, exclude=True, repr=False)

    @field_validator("models", mode="after")
    @classmethod
    def _flattened(cls, models: Sequence[BaseChatModel]) -> list[BaseChatModel]:
        # A router inside a router would hold the money of one call twice.
        flat: list[BaseChatModel] = []
        for model in models:
            flat.extend(model.models if isinstance(model, FallbackRouter) else [model])
        return flat

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
                self._answer(ChatRequest(prompt, stop, kwargs), run, route) for prompt in messages
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
            self._aanswer(ChatRequest(prompt, stop, kwargs), run, route) for prompt in messages
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
                self._stream_answer(ChatRequest(messages, stop, kwargs), run, route)
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
                self._astream_answer(ChatRequest(messages, stop, kwargs), run, route)
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

    def _answer(
        self,
        request: ChatRequest,
        run: CallbackManagerForChainRun,
        route: Route,
    ) -> LLMResult:
        for attempt in self._attempts(route):
            with attempt:
                plan = plan_call(self.models, attempt, request, route)
                plan, opened = begin(plan, attempt, route.tracker)
                with settled(opened):
                    result = plan.model.generate(
                        [request.messages],
                        stop=request.stop,
                        callbacks=with_handler(run.get_child(), route.tracker),
                        run_id=plan.run_id,
                        **plan.kwargs,
                    )
                return stamp(result, opened, attempt.passed_over)
        raise AssertionError(_ENDS)

    async def _aanswer(
        self,
        request: ChatRequest,
        run: AsyncCallbackManagerForChainRun,
        route: Route,
    ) -> LLMResult:
        for attempt in self._attempts(route):
            with attempt:
                plan = plan_call(self.models, attempt, request, route)
                plan, opened = await abegin(plan, attempt, route.tracker)
                with settled(opened):
                    result = await plan.model.agenerate(
                        [request.messages],
                        stop=request.stop,
                        callbacks=with_handler(run.get_child(), route.tracker),
                        run_id=plan.run_id,
                        **plan.kwargs,
                    )
                return stamp(result, opened, attempt.passed_over)
        raise AssertionError(_ENDS)

    def _stream_answer(
        self,
        request: ChatRequest,
        run: CallbackManagerForChainRun,
        route: Route,
    ) -> Generator[AIMessageChunk]:
        for attempt in self._attempts(route):
            with attempt:
                plan = plan_call(self.models, attempt, request, route, streamed=True)
                plan, opened = begin(plan, attempt, route.tracker)
                config = _child_config(with_handler(run.get_child(), route.tracker), plan)
                chunks: Any = plan.model.stream(
                    request.messages, config, stop=request.stop, **plan.kwargs
                )
                # Closed from the inside out: the model's own run reports its end first.
                with settled(opened), closing(chunks):
                    for chunk in chunks:
                        attempt.committed = True
                        yield chunk
                return

    async def _astream_answer(
        self,
        request: ChatRequest,
        run: AsyncCallbackManagerForChainRun,
        route: Route,
    ) -> AsyncGenerator[AIMessageChunk]:
        for attempt in self._attempts(route):
            with attempt:
                plan = plan_call(self.models, attempt, request, route, streamed=True)
                plan, opened = await abegin(plan, attempt, route.tracker)
                config = _child_config(with_handler(run.get_child(), route.tracker), plan)
                chunks: Any = plan.model.astream(
                    request.messages, config, stop=request.stop, **plan.kwargs
                )
                with settled(opened):
                    async with aclosing(chunks):
                        async for chunk in chunks:
                            attempt.committed = True
                            yield chunk
                return

    def _attempts(self, route: Route) -> Attempts:
        names = [name_of(model).model for model in self.models]
        cheaper = prefers_cheaper(self.models, route)
        return Attempts(names, may_fall_back, cheapest_first=cheaper)

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

    def _chat_model_stream_v3(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise _no_v3()

    async def _achat_model_stream_v3(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise _no_v3()


def _no_v3() -> LLMCostError:
    return LLMCostError(
        "FallbackRouter does not serve event streams of version 'v3' yet; use stream(), astream() "
        "or astream_events(version='v2')"
    )


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


def _child_config(child: Any, plan: PlannedCall) -> RunnableConfig:
    return RunnableConfig(callbacks=child, run_id=plan.run_id)


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
