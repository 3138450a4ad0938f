"""`CachedLLM`: a model whose answers are kept on disk, for those who use no router."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any, ClassVar, Final, TypeVar, cast

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
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools import BaseTool
from llama_index.core.types import TokenAsyncGen, TokenGen
from pydantic import BaseModel, Field, PrivateAttr

from llmcost_llamaindex._answers import gathered
from llmcost_llamaindex._closing import aclose, close
from llmcost_llamaindex._contexts import in_context
from llmcost_llamaindex._hits import CacheHitEvent, leave_to_cache, planned_call, record_hit
from llmcost_llamaindex._requests import (
    Request,
    chat_request,
    completion_request,
    conversation,
    prediction_request,
    structure_request,
)
from llmcost_llamaindex._shelf import Planned, Shelf
from llmcost_llamaindex._witness import Witness
from llmcost_plugins.cache import CachedAnswer, CompletionCache
from llmcost_plugins.cache.visits import arun
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.tracker import CostTracker

__all__ = ["CacheHitEvent", "CachedLLM", "CompletionCache"]

_MIRRORED: Final = (
    "callback_manager",
    "system_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
)
"""Fields that LlamaIndex reads of any model; those of the model within hold."""

_T = TypeVar("_T")
Tools = Sequence[BaseTool]
History = list[ChatMessage] | None


class CachedLLM(FunctionCallingLLM):
    """Answers what it was asked before from the disk, and anything else with its model.

    Works wherever the model does: with tools, agents, engines and structured output. The request to
    the model is not changed, and answers of the model come as they are. An answer from the cache
    has no ``raw`` and no usage, so that nothing that counts tokens takes it for spending; it says
    ``response.additional_kwargs["llmcost"]["cache"] == "hit"``. It makes no LLM event of
    LlamaIndex, but one `CacheHitEvent`, and an entry ``cached`` of the ledger with what it saved.

    Calls that the cache cannot answer are recorded and held for by `install`, if that was called,
    like any other call of the model. Identical requests at the same time are one call.

    Which requests are cached, and how long, is as for routers: not those with a temperature above 0
    that the user has set (0.1, LlamaIndex's own default, counts as not set), nor those that bring
    results of tools, unless the cache is made with ``after_tools=True``. ``cache=False`` or
    ``cache=True`` at one call, in ``llm_kwargs`` of a structured prediction, wins over that.

    Attributes:
        llm: the model. A `FallbackRouter` has a cache of its own, and is refused here.
        cache: where answers are kept; by default what the environment variables describe.
        tracker: where hits are recorded; by default the tracker that is installed, else the one set
            up by the environment variables.

    Raises:
        ConfigurationError: *llm* is no model, or caches already; or *cache* is no cache of ours.
    """

    llm: LLM = Field(exclude=True)
    cache: Any = Field(default=True, exclude=True, repr=False)
    tracker: CostTracker | None = Field(default=None, exclude=True, repr=False)
    caches_by_itself: ClassVar[bool] = True
    _shelf: Shelf = PrivateAttr()

    def __init__(
        self,
        llm: LLM,
        *,
        cache: CompletionCache | bool | None = True,
        tracker: CostTracker | None = None,
        **options: Any,
    ) -> None:
        _check(llm)
        shelf = Shelf(cache)
        mirrored = {name: getattr(llm, name) for name in _MIRRORED}
        super().__init__(llm=llm, cache=cache, tracker=tracker, **{**mirrored, **options})
        self._shelf = shelf

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # `Settings.llm` sets the manager at each access.
        if name in _MIRRORED and "llm" in self.__dict__:
            setattr(self.llm, name, value)

    def __getattr__(self, name: str) -> Any:
        """Return what only the model has, such as ``model`` and ``temperature``."""
        if not name.startswith("_") and "llm" in self.__dict__:
            return getattr(self.llm, name)
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic's, hidden from checkers

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class."""
        return "llmcost_cached_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What the model can do."""
        return self.llm.metadata

    def convert_chat_messages(self, messages: Sequence[ChatMessage]) -> list[Any]:
        """Convert messages to the format of the model."""
        return self.llm.convert_chat_messages(messages)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Chat."""
        asked = chat_request(messages, kwargs)
        return self._answer(asked, lambda: self.llm.chat(messages, **asked.said))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Chat."""
        asked = chat_request(messages, kwargs)
        found: ChatResponse = await self._aanswer(
            asked, lambda: self.llm.achat(messages, **asked.said)
        )
        return found

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Chat in chunks."""
        asked = chat_request(messages, kwargs)
        return self._stream(asked, lambda: self.llm.stream_chat(messages, **asked.said))

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Chat in chunks."""
        asked = chat_request(messages, kwargs)
        return self._astream(asked, lambda: self.llm.astream_chat(messages, **asked.said))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a text."""
        asked = completion_request(prompt, kwargs, formatted=formatted)
        return self._answer(asked, lambda: self.llm.complete(prompt, formatted, **asked.said))

    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Complete a text."""
        asked = completion_request(prompt, kwargs, formatted=formatted)
        found: CompletionResponse = await self._aanswer(
            asked, lambda: self.llm.acomplete(prompt, formatted, **asked.said)
        )
        return found

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Complete a text in chunks."""
        asked = completion_request(prompt, kwargs, formatted=formatted)
        return self._stream(
            asked, lambda: self.llm.stream_complete(prompt, formatted, **asked.said)
        )

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Complete a text in chunks."""
        asked = completion_request(prompt, kwargs, formatted=formatted)
        return self._astream(
            asked, lambda: self.llm.astream_complete(prompt, formatted, **asked.said)
        )

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """Answer what a template becomes."""
        asked = prediction_request(prompt, prompt_args)
        return self._answer(asked, lambda: self.llm.predict(prompt, **asked.arguments))

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """Answer what a template becomes."""
        asked = prediction_request(prompt, prompt_args)
        found: str = await self._aanswer(
            asked, lambda: self.llm.apredict(prompt, **asked.arguments)
        )
        return found

    def stream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenGen:
        """Answer what a template becomes, in pieces of text."""
        asked = prediction_request(prompt, prompt_args)
        return self._stream(asked, lambda: self.llm.stream(prompt, **asked.arguments))

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenAsyncGen:
        """Answer what a template becomes, in pieces of text."""
        asked = prediction_request(prompt, prompt_args)
        return self._astream(asked, lambda: self.llm.astream(prompt, **asked.arguments))

    def structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Answer with an object."""
        asked = structure_request(output_cls, prompt, llm_kwargs, prompt_args)
        return self._answer(
            asked,
            lambda: self.llm.structured_predict(
                output_cls, prompt, dict(asked.said), **prompt_args
            ),
        )

    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Answer with an object."""
        asked = structure_request(output_cls, prompt, llm_kwargs, prompt_args)
        return await self._aanswer(
            asked,
            lambda: self.llm.astructured_predict(
                output_cls, prompt, dict(asked.said), **prompt_args
            ),
        )

    def stream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any]:
        """Answer with an object that grows; from the cache it comes whole."""
        asked = structure_request(output_cls, prompt, llm_kwargs, prompt_args)
        return self._stream(
            asked,
            lambda: self.llm.stream_structured_predict(
                output_cls, prompt, dict(asked.said), **prompt_args
            ),
        )

    async def astream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any]:
        """Answer with an object that grows; from the cache it comes whole."""
        asked = structure_request(output_cls, prompt, llm_kwargs, prompt_args)
        return self._astream(
            asked,
            lambda: self.llm.astream_structured_predict(
                output_cls, prompt, dict(asked.said), **prompt_args
            ),
        )

    def chat_with_tools(  # noqa: PLR0913, PLR0917 - the signature
        self,
        tools: Tools,
        user_msg: str | ChatMessage | None = None,
        chat_history: History = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Chat, with tools that the model may ask for."""
        flags = _flags(allow_parallel_tool_calls, tool_required)
        asked, given = _with_tools(tools, user_msg, chat_history, flags, kwargs)
        found: ChatResponse = self._answer(
            asked, lambda: self._caller.chat_with_tools(tools, verbose=verbose, **given)
        )
        return found

    async def achat_with_tools(  # noqa: PLR0913, PLR0917 - the signature
        self,
        tools: Tools,
        user_msg: str | ChatMessage | None = None,
        chat_history: History = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Chat, with tools that the model may ask for."""
        flags = _flags(allow_parallel_tool_calls, tool_required)
        asked, given = _with_tools(tools, user_msg, chat_history, flags, kwargs)
        found: ChatResponse = await self._aanswer(
            asked, lambda: self._caller.achat_with_tools(tools, verbose=verbose, **given)
        )
        return found

    def stream_chat_with_tools(  # noqa: PLR0913, PLR0917 - the signature
        self,
        tools: Tools,
        user_msg: str | ChatMessage | None = None,
        chat_history: History = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Chat in chunks, with tools that the model may ask for."""
        flags = _flags(allow_parallel_tool_calls, tool_required)
        asked, given = _with_tools(tools, user_msg, chat_history, flags, kwargs)
        return self._stream(
            asked,
            lambda: self._caller.stream_chat_with_tools(tools, verbose=verbose, **given),
        )

    async def astream_chat_with_tools(  # noqa: PLR0913, PLR0917 - the signature
        self,
        tools: Tools,
        user_msg: str | ChatMessage | None = None,
        chat_history: History = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Chat in chunks, with tools that the model may ask for."""
        flags = _flags(allow_parallel_tool_calls, tool_required)
        asked, given = _with_tools(tools, user_msg, chat_history, flags, kwargs)
        return self._astream(
            asked,
            lambda: self._caller.astream_chat_with_tools(tools, verbose=verbose, **given),
        )

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the calls of tools that an answer asks for."""
        found: list[ToolSelection] = self._caller.get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )
        return found

    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._caller._prepare_chat_with_tools(*args, **kwargs)  # noqa: SLF001 - LlamaIndex's hook
        return found

    @property
    def _caller(self) -> Any:
        # Not every class that calls tools is a `FunctionCallingLLM`, but all have its methods.
        return self.llm

    def _answer(self, request: Request, call: Callable[[], _T]) -> _T:
        planned = self._planned(request)
        with self._shelf.look(planned) as look:
            if look.entry is not None:
                _answered(look.entry, planned)
                return cast("_T", look.answer)
            with look.witness.watching():
                answer = call()
            look.keep(answer)
        return answer

    async def _aanswer(self, request: Request, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        planned = self._planned(request)
        with await self._shelf.alook(planned) as look:
            if look.entry is not None:
                _answered(look.entry, planned)
                return look.answer
            with look.witness.watching():
                answer = await call()
            look.keep(answer)
        return answer

    def _stream(self, request: Request, call: Callable[[], Any]) -> Generator[Any]:
        return in_context(copy_context(), self._pulled(request, call))

    def _pulled(self, request: Request, call: Callable[[], Any]) -> Generator[Any]:
        planned = self._planned(request, streamed=True)
        with self._shelf.look(planned) as look:
            if look.entry is not None:
                _answered(look.entry, planned)
                yield from look.answer
                return
            seen = None
            with look.witness.watching():
                stream = call()
                try:
                    for item in stream:
                        seen = gathered(seen, item)
                        yield item
                finally:
                    close(stream)
            look.keep(seen)

    def _astream(
        self, request: Request, call: Callable[[], Coroutine[Any, Any, Any]]
    ) -> AsyncGenerator[Any]:
        return self._apulled(request, call, copy_context())

    async def _apulled(
        self, request: Request, call: Callable[[], Coroutine[Any, Any, Any]], context: Context
    ) -> AsyncGenerator[Any]:
        # The part that sends runs in the context of where the stream was asked for.
        planned = context.run(self._planned, request, streamed=True)
        steps = context.run(self._shelf.steps, planned, may_wait=True)
        with await arun(steps) as look:
            if look.entry is not None:
                context.run(_answered, look.entry, planned)
                for item in look.answer:
                    yield item
                return
            seen, witness = None, look.witness
            stream = await asyncio.create_task(_watched(call, witness), context=context)
            try:
                while True:
                    with witness.watching():
                        item = await anext(stream, _END)
                    if item is _END:
                        break
                    seen = gathered(seen, item)
                    yield item
            finally:
                await aclose(stream)
            look.keep(seen)

    def _planned(self, request: Request, *, streamed: bool = False) -> Planned:
        return planned_call(self.llm, request, self.tracker, streamed=streamed)


_END: Final = object()


def _answered(entry: CachedAnswer, planned: Planned) -> None:
    leave_to_cache()
    record_hit(entry, planned)


async def _watched(call: Callable[[], Coroutine[Any, Any, Any]], witness: Witness) -> Any:
    with witness.watching():
        return await call()


def _check(llm: object) -> None:
    if isinstance(llm, CachedLLM):
        msg = "the model caches already: pass the one that is within it, or use it as it is"
        raise ConfigurationError(msg)
    if getattr(llm, "holds_for_itself", False) is True:
        msg = "a router has a cache of its own: FallbackRouter(models, cache=...)"
        raise ConfigurationError(msg)
    if not isinstance(llm, LLM):
        msg = f"CachedLLM takes a model of LlamaIndex, such as OpenAI(...), not {llm!r}"
        raise ConfigurationError(msg)


def _flags(parallel: bool, required: bool) -> dict[str, bool]:
    # Not every class knows the second one.
    flags = {"allow_parallel_tool_calls": parallel}
    return {**flags, "tool_required": True} if required else flags


def _with_tools(
    tools: Tools,
    user_msg: str | ChatMessage | None,
    history: History,
    flags: Mapping[str, bool],
    kwargs: Mapping[str, Any],
) -> tuple[Request, dict[str, Any]]:
    """Return what is asked, and the arguments to ask the model with."""
    asked = chat_request(conversation(user_msg, history), kwargs, tools, flags)
    # A copy, since some classes append the question to it.
    own = None if history is None else list(history)
    return asked, {"user_msg": user_msg, "chat_history": own, **flags, **asked.said}
