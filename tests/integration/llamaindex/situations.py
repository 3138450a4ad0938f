"""Situations in which LlamaIndex's calls are billed: one function each, for us and for peers alike.

`test_situations.py` holds what we record against the provider's bill; `bench_situations.py` prints
the same for LlamaIndex's own counter.
"""

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from inspect import isawaitable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import httpx
from langchain_openai import ChatOpenAI
from llama_index.core import (
    Document,
    MockEmbedding,
    PromptTemplate,
    QueryBundle,
    SummaryIndex,
    VectorStoreIndex,
)
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms import (
    ChatMessage,
    CompletionResponse,
    CompletionResponseGen,
    CustomLLM,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.langchain import LangChainLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from llama_index.postprocessor.cohere_rerank import CohereRerank
from pydantic import BaseModel, SecretStr

from llmcost_llamaindex import CachedLLM, CompletionCache, FallbackRouter
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.billed_situations import BilledSituation, Situations

# To read the certificates takes longer than most of the situations.
_TLS: Final = httpx.create_ssl_context()
_UNPOOLED: Final = httpx.Limits(max_keepalive_connections=0)
_USAGE: Final = {"stream_options": {"include_usage": True}}

TEXT: Final = "How much does this cost?"
ASKED: Final = [ChatMessage(TEXT)]
CALLS_A_TOOL: Final = 'call weather {"city": "Oslo"}'


@dataclass(slots=True)
class World:
    """Where a situation takes place.

    Attributes:
        provider: who bills.
    """

    provider: SimulatedProvider
    clients: list[Any] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def _openai(self, kind: Any, options: dict[str, Any]) -> Any:
        self.clients += [
            httpx.Client(verify=_TLS),
            httpx.AsyncClient(verify=_TLS, limits=_UNPOOLED),
        ]
        return kind(
            **{
                "model": "gpt-4o",
                "api_base": self.provider.base_url,
                "api_key": "none",
                "max_retries": 0,
                "http_client": self.clients[-2],
                "async_http_client": self.clients[-1],
                **options,
            }
        )

    def openai(self, model: str = "gpt-4o", **options: Any) -> Any:
        """Return a model of OpenAI, with clients of its own."""
        defaults = {"model": model, "max_tokens": 200, "additional_kwargs": dict(_USAGE)}
        return self._openai(OpenAI, {**defaults, **options})

    def embedding(self, **options: Any) -> Any:
        """Return an embedding model of OpenAI, with clients of its own."""
        return self._openai(OpenAIEmbedding, {"model": "text-embedding-3-small", **options})

    def reranker(self) -> Any:
        """Return a reranker of Cohere."""
        found = CohereRerank(
            model="rerank-v3.5", api_key="none", base_url=self.provider.root_url, max_retries=1
        )
        self.clients.append(found._client._client_wrapper.httpx_client.httpx_client)
        return found

    def by_functions(self) -> Any:
        """Return a model of OpenAI that makes objects by calling a function."""
        return self.openai(pydantic_program_mode=PydanticProgramMode.FUNCTION)

    def responses(self, **options: Any) -> Any:
        """Return a model that speaks OpenAI's responses."""
        return self._openai(OpenAIResponses, {"max_output_tokens": 200, **options})

    def like(self, **options: Any) -> Any:
        """Return a model of a provider that speaks as OpenAI does."""
        defaults = {
            "is_chat_model": True,
            "max_tokens": 200,
            "is_function_calling_model": True,
            "additional_kwargs": dict(_USAGE),
        }
        return self._openai(OpenAILike, {**defaults, **options})

    def claude(self, **options: Any) -> Any:
        """Return a model of Anthropic."""
        from llama_index.llms.anthropic import Anthropic

        defaults: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 2000}
        llm = Anthropic(
            api_key="none",
            base_url=self.provider.root_url,
            max_retries=0,
            **{**defaults, **options},
        )
        self.clients += [llm._client, llm._aclient]
        return llm

    def gemini(self, **options: Any) -> GoogleGenAI:
        """Return a model of Google."""
        llm = GoogleGenAI(
            model="gemini-2.5-flash",
            api_key="none",
            http_options={"base_url": self.provider.root_url},  # type: ignore[arg-type]
            context_window=1_000_000,
            max_retries=1,
            **{"max_tokens": 2000, **options},
        )
        self.clients.append(llm._client.aio._api_client)
        return llm

    def litellm(self, **options: Any) -> Any:
        """Return a model of LiteLLM's."""
        from llama_index.llms.litellm import LiteLLM

        url = self.provider.base_url
        return self.watch(
            LiteLLM(
                "openai/gpt-4o",
                api_base=url,
                api_key="none",
                max_tokens=200,
                max_retries=1,
                **options,
            )
        )

    def watch(self, llm: Any) -> Any:
        """Return a model that a counter watches; where none does, the model as it is."""
        return llm

    def langchain(self, **options: Any) -> Any:
        """Return a model of LangChain's."""
        self.clients.append(httpx.Client(verify=_TLS))
        defaults: dict[str, Any] = {"max_tokens": 200, "stream_usage": True, "max_retries": 0}
        llm = LangChainLLM(
            ChatOpenAI(
                model="gpt-4o",
                base_url=self.provider.base_url,
                api_key=SecretStr("none"),
                http_client=self.clients[-1],
                **{**defaults, **options},
            )
        )
        return self.watch(llm)

    def router(self, *models: Any, **options: Any) -> FallbackRouter:
        """Return a router over models, by default over a dear and a cheap one of OpenAI."""
        named = models or [self._bare("gpt-4o"), self._bare("gpt-4o-mini")]
        return FallbackRouter(list(named), **options)

    def cache(self) -> CompletionCache:
        """Return a cache of its own that also keeps what answers tools."""
        self.folders.append(mkdtemp())
        self.clients.append(
            CompletionCache(Path(self.folders[-1]), ttl=timedelta(days=1), after_tools=True)
        )
        made: CompletionCache = self.clients[-1]
        return made

    def _bare(self, model: str) -> Any:
        """Return a model that asks for no usage of streams: a router sees to that."""
        return self.openai(model, additional_kwargs={})

    def engine(self, llm: Any, **options: Any) -> Any:
        """Return a query engine over three documents."""
        documents = [Document(text=f"{word} " * 300) for word in ("one", "two", "three")]
        index = SummaryIndex.from_documents(documents, embed_model=MockEmbedding(2))
        return index.as_query_engine(llm=llm, **options)

    def chat_engine(self, llm: Any) -> Any:
        """Return a chat engine over a document."""
        index = SummaryIndex.from_documents([Document(text="one")], embed_model=MockEmbedding(2))
        return index.as_chat_engine(ChatMode.CONTEXT, llm=llm)

    def behave(self, **facts: Any) -> None:
        """Say how all requests are answered."""
        self.provider.behave("*", Behavior(**facts))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Close the clients at the end."""
        try:
            yield
        finally:
            for client in self.clients:
                close = getattr(client, "aclose", None) or client.close
                closed = close()
                if isawaitable(closed):
                    await closed
            for folder in self.folders:
                shutil.rmtree(folder)


Situation = BilledSituation[World]
SITUATIONS: Final = Situations[World]()
situation: Final = SITUATIONS.add
HAS_ANTHROPIC: Final = find_spec("llama_index.llms.anthropic") is not None
# LlamaIndex's bridge to LangChain imports names that only this package, or an old LangChain, has.
HAS_LANGCHAIN: Final = find_spec("langchain_classic") is not None
HAS_LITELLM: Final = find_spec("llama_index.llms.litellm") is not None


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


TOOL: Final = FunctionTool.from_defaults(weather)
ASK_WEATHER: Final = PromptTemplate("The weather in {city}?")


class Wrapper(CustomLLM):
    """A model of the user's own, that asks another one."""

    inner: Any

    @property
    def metadata(self) -> LLMMetadata:
        metadata: LLMMetadata = self.inner.metadata
        return metadata

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        answer: CompletionResponse = self.inner.complete(prompt, formatted=formatted, **kwargs)
        return answer

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        stream: CompletionResponseGen = self.inner.stream_complete(prompt, formatted, **kwargs)
        return stream


class Local(CustomLLM):
    """A model of the user's own, that reports no usage."""

    provider: Any

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o", num_output=200)

    @llm_completion_callback()
    def complete(self, prompt: str, *_: Any, **__: Any) -> CompletionResponse:
        asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]}
        answer = httpx.post(
            f"{self.provider.base_url}/chat/completions",
            json=asked,
            headers={"authorization": "Bearer none"},
        )
        return CompletionResponse(text=answer.json()["choices"][0]["message"]["content"])

    def stream_complete(
        self, prompt: str, formatted: bool = False, **_: Any
    ) -> CompletionResponseGen:
        yield self.complete(prompt, formatted)


async def threaded(function: Callable[[], object]) -> Any:
    """Run synchronous code beside the event loop."""
    return await asyncio.to_thread(function)


async def read(stream: Any) -> list[Any]:
    """Read an asynchronous stream to its end."""
    return [chunk async for chunk in await stream]


async def run(agent: Any, text: str) -> None:
    """Let an agent answer."""
    await agent.run(text)


async def hung_up() -> None:
    """Let go of the connection of a stream that was left: LlamaIndex leaves that to the collector.

    Until then the provider goes on, and bills what nobody sees.
    """
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)


async def until_in_flight(world: World) -> None:
    """Wait until a request has arrived."""
    while world.provider.in_flight == 0:  # noqa: ASYNC110 - the server runs in threads
        await asyncio.sleep(0.005)


@situation("chat")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().chat(ASKED))


@situation("achat")
async def _(w: World) -> None:
    await w.openai().achat(ASKED)


@situation("complete")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().complete(TEXT))


@situation("stream_chat")
async def _(w: World) -> None:
    await threaded(lambda: list(w.openai().stream_chat(ASKED)))


@situation("astream_chat")
async def _(w: World) -> None:
    await read(w.openai().astream_chat(ASKED))


@situation("stream_complete")
async def _(w: World) -> None:
    await threaded(lambda: list(w.openai().stream_complete(TEXT)))


@situation("predict")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().predict(ASK_WEATHER, city="Oslo"))


@situation("astream of a prompt")
async def _(w: World) -> None:
    await read(w.openai().astream(ASK_WEATHER, city="Oslo"))


@situation("chat_with_tools")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().chat_with_tools([TOOL], "Oslo?", tool_required=True))


@situation("stream_chat_with_tools")
async def _(w: World) -> None:
    llm = w.openai()
    await threaded(lambda: list(llm.stream_chat_with_tools([TOOL], "Oslo?", tool_required=True)))


@situation("predict_and_call")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().predict_and_call([TOOL], CALLS_A_TOOL))


@situation("structured_predict, json_schema")
async def _(w: World) -> None:
    llm = w.openai()
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("astructured_predict, json_schema")
async def _(w: World) -> None:
    await w.openai().astructured_predict(Weather, ASK_WEATHER, city="Oslo")


@situation("structured_predict, function calling")
async def _(w: World) -> None:
    llm = w.by_functions()
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("stream_structured_predict")
async def _(w: World) -> None:
    llm = w.by_functions()
    await threaded(lambda: list(llm.stream_structured_predict(Weather, ASK_WEATHER, city="Oslo")))


@situation("as_structured_llm, chat")
async def _(w: World) -> None:
    await threaded(lambda: w.openai().as_structured_llm(Weather).chat(ASKED))


@situation("as_structured_llm, stream_chat")
async def _(w: World) -> None:
    structured = w.by_functions().as_structured_llm(Weather)
    await threaded(lambda: list(structured.stream_chat(ASKED)))


@situation("as_structured_llm, astream_chat")
async def _(w: World) -> None:
    await read(w.by_functions().as_structured_llm(Weather).astream_chat(ASKED))


@situation("3 choices (n=3)")
async def _(w: World) -> None:
    await w.openai(additional_kwargs={"n": 3}).achat(ASKED)


@situation("cached and reasoning tokens")
async def _(w: World) -> None:
    w.behave(prompt_tokens=900, cached_tokens=600, completion_tokens=90, reasoning_tokens=60)
    await w.openai("gpt-5-mini", max_tokens=None).achat(ASKED)


@situation("service tier flex")
async def _(w: World) -> None:
    w.behave(prompt_tokens=900, cached_tokens=600, completion_tokens=90)
    llm = w.openai("gpt-5", max_tokens=None, additional_kwargs={"service_tier": "flex"})
    await llm.achat(ASKED)


@situation("another model serves than was asked for")
async def _(w: World) -> None:
    w.behave(served_model="gpt-4o-mini-2024-07-18")
    await w.openai().achat(ASKED)


@situation("the model of a single call")
async def _(w: World) -> None:
    await w.openai("gpt-4o-mini").achat(ASKED, model="gpt-4o")


@situation("429")
async def _(w: World) -> None:
    w.behave(status=429)
    with suppress(Exception):
        await w.openai().achat(ASKED)


@situation("503, then an answer: the client tries again by itself")
async def _(w: World) -> None:
    w.provider.behave("*", Behavior(status=503), times=1)
    await w.openai(max_retries=1).achat(ASKED)


@situation(
    "stream without usage",
    outcome="estimated",
    reason="the provider was not asked for it, and reports none",
)
async def _(w: World) -> None:
    await threaded(lambda: list(w.openai(additional_kwargs={}).stream_chat(ASKED)))


@situation(
    "stream that the consumer leaves",
    outcome="estimated",
    reason="usage comes at the end of a stream",
)
async def _(w: World) -> None:
    w.behave(completion_tokens=100, chunk_delay=0.1)

    def leave() -> None:
        stream: Any = w.openai().stream_chat(ASKED)
        for _ in zip(range(5), stream, strict=False):
            pass
        stream.close()

    await threaded(leave)
    await hung_up()


@situation(
    "astream that the consumer leaves",
    outcome="estimated",
    reason="usage comes at the end of a stream",
)
async def _(w: World) -> None:
    w.behave(completion_tokens=100, chunk_delay=0.1)
    stream: Any = await w.openai().astream_chat(ASKED)
    async for _ in stream:
        break
    await stream.aclose()
    del stream
    await hung_up()


@situation("stream that the consumer leaves at the usage chunk")
async def _(w: World) -> None:
    def leave() -> None:
        stream: Any = w.openai().stream_chat(ASKED)
        for chunk in stream:
            if chunk.raw.usage:
                break
        stream.close()

    await threaded(leave)


@situation("stream that is never read: nothing is sent", entries=0)
async def _(w: World) -> None:
    await threaded(lambda: (w.openai().stream_chat(ASKED), None)[1])


@situation(
    "stream that the provider cuts",
    outcome="estimated",
    reason="usage comes at the end of a stream",
)
async def _(w: World) -> None:
    w.behave(completion_tokens=100, cut_after=5)
    with suppress(Exception):
        await threaded(lambda: list(w.openai().stream_chat(ASKED)))


@situation(
    "achat that is cancelled",
    outcome="estimated",
    reason="no answer, and the provider may have billed one",
)
async def _(w: World) -> None:
    w.behave(delay=5)
    task = asyncio.create_task(w.openai().achat(ASKED))
    await until_in_flight(w)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@situation(
    "the client's time-out", outcome="estimated", reason="the provider may have answered in full"
)
async def _(w: World) -> None:
    w.behave(delay=5)
    with suppress(Exception):
        await w.openai(timeout=0.2).achat(ASKED)


@situation("a model of the user's own around another")
async def _(w: World) -> None:
    await threaded(lambda: Wrapper(inner=w.openai()).chat(ASKED))


@situation("a model of the user's own around another, astream_chat")
async def _(w: World) -> None:
    await read(Wrapper(inner=w.openai()).astream_chat(ASKED))


@situation(
    "a model of the user's own without usage",
    outcome="estimated",
    reason="its class reports no usage",
)
async def _(w: World) -> None:
    await threaded(lambda: w.watch(Local(provider=w.provider)).complete(TEXT))


@situation("query engine", entries=1)
async def _(w: World) -> None:
    await threaded(lambda: w.engine(w.openai()).query(TEXT))


@situation("query engine, tree_summarize, asynchronous")
async def _(w: World) -> None:
    await w.engine(w.openai(), response_mode="tree_summarize").aquery(TEXT)


@situation("query engine, refine", entries=3)
async def _(w: World) -> None:
    await threaded(lambda: w.engine(w.openai(), response_mode="refine").query(TEXT))


@situation("query engine, streamed")
async def _(w: World) -> None:
    engine = w.engine(w.openai(), streaming=True)
    await threaded(lambda: list(engine.query(TEXT).response_gen))


@situation("query engine, an object as its answer")
async def _(w: World) -> None:
    engine = w.engine(w.by_functions(), output_cls=Weather, response_mode="compact")
    await threaded(lambda: engine.query(TEXT))


@situation("chat engine, streamed")
async def _(w: World) -> None:
    engine = w.chat_engine(w.openai())
    await threaded(lambda: list(engine.stream_chat(TEXT).response_gen))


@situation("FunctionAgent", entries=2)
async def _(w: World) -> None:
    agent = FunctionAgent(tools=[TOOL], llm=w.openai(), streaming=False)
    await run(agent, CALLS_A_TOOL)


@situation("FunctionAgent, streamed", entries=2)
async def _(w: World) -> None:
    await run(FunctionAgent(tools=[TOOL], llm=w.openai()), CALLS_A_TOOL)


@situation("ReActAgent")
async def _(w: World) -> None:
    w.behave(content="Thought: I know.\nAnswer: it is sunny")
    await run(ReActAgent(tools=[TOOL], llm=w.openai()), TEXT)


@situation("AgentWorkflow", entries=2)
async def _(w: World) -> None:
    agent = FunctionAgent(name="a", description="b", tools=[TOOL], llm=w.openai())
    await run(AgentWorkflow(agents=[agent]), CALLS_A_TOOL)


@situation("OpenAI responses, chat with reasoning")
async def _(w: World) -> None:
    w.behave(prompt_tokens=100, completion_tokens=80, reasoning_tokens=40)
    await threaded(lambda: w.responses(model="gpt-5").chat(ASKED))


@situation("OpenAI responses, streamed")
async def _(w: World) -> None:
    await threaded(lambda: list(w.responses().stream_chat(ASKED)))


@situation("OpenAI responses, complete, asynchronous")
async def _(w: World) -> None:
    await w.responses().acomplete(TEXT)


@situation("OpenAI responses, web searches")
async def _(w: World) -> None:
    w.behave(prompt_tokens=100, completion_tokens=80, web_searches=2)
    llm = w.responses(model="gpt-5", built_in_tools=[{"type": "web_search"}])
    await threaded(lambda: llm.chat(ASKED))


@situation("OpenAILike, chat")
async def _(w: World) -> None:
    await w.like().achat(ASKED)


@situation("OpenAILike, streamed with tools")
async def _(w: World) -> None:
    llm = w.like()
    await threaded(lambda: list(llm.stream_chat_with_tools([TOOL], "Oslo?", tool_required=True)))


@situation(
    "LangChain's model, chat",
    outcome="estimated",
    reason="its usage is not passed on",
    needs=HAS_LANGCHAIN,
)
async def _(w: World) -> None:
    await threaded(lambda: w.langchain().chat(ASKED))


@situation(
    "LangChain's model, streamed",
    outcome="estimated",
    reason="its usage is not passed on",
    needs=HAS_LANGCHAIN,
)
async def _(w: World) -> None:
    await threaded(lambda: list(w.langchain().stream_chat(ASKED)))


@situation("Gemini, chat with thoughts")
async def _(w: World) -> None:
    w.behave(prompt_tokens=100, completion_tokens=80, reasoning_tokens=40)
    await threaded(lambda: w.gemini().chat(ASKED))


@situation("Gemini, complete, asynchronous")
async def _(w: World) -> None:
    await w.gemini().acomplete(TEXT)


@situation("Gemini, streamed")
async def _(w: World) -> None:
    await threaded(lambda: list(w.gemini().stream_chat(ASKED)))


@situation("Gemini, tool call, streamed, asynchronous")
async def _(w: World) -> None:
    llm = w.gemini()
    await read(llm.astream_chat_with_tools([TOOL], "Oslo?", tool_required=True))


_OWN_REQUEST: Final = "the class asks by itself: no event, no rate limiter, no usage"


@situation("Gemini, structured_predict", outcome="estimated", reason=_OWN_REQUEST, held=False)
async def _(w: World) -> None:
    llm = w.gemini()
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("Anthropic, chat", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    await threaded(lambda: w.claude().chat(ASKED))


@situation("Anthropic, complete: two events for one call", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    await threaded(lambda: w.claude().complete(TEXT))


@situation("Anthropic, streamed", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    await threaded(lambda: list(w.claude().stream_chat(ASKED)))


@situation("Anthropic, astream_complete", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    await read(w.claude().astream_complete(TEXT))


@situation("Anthropic, tool call", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    await w.claude().achat_with_tools([TOOL], "Oslo?", tool_required=True)


@situation("Anthropic, cache writes of 5 minutes and an hour, and reads", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    w.behave(
        prompt_tokens=1000,
        cached_tokens=100,
        cache_write_tokens=50,
        cache_write_1h_tokens=200,
        completion_tokens=60,
    )
    await threaded(lambda: w.claude().chat(ASKED))


@situation("Anthropic, cache reads, streamed", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    w.behave(prompt_tokens=1000, cached_tokens=400, completion_tokens=60)
    await threaded(lambda: list(w.claude().stream_chat(ASKED)))


@situation(
    "Anthropic, cache writes, streamed",
    outcome="estimated",
    reason="for how long is not passed on; read as 5 minutes, and flagged",
    needs=HAS_ANTHROPIC,
)
async def _(w: World) -> None:
    w.behave(prompt_tokens=1000, cache_write_tokens=250, completion_tokens=60)
    await threaded(lambda: list(w.claude().stream_chat(ASKED)))


@situation("Anthropic, thinking", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    w.behave(prompt_tokens=100, completion_tokens=80, reasoning_tokens=40)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    await threaded(lambda: w.claude(thinking_dict=thinking).chat(ASKED))


@situation("Anthropic, web searches", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    w.behave(prompt_tokens=100, completion_tokens=80, web_searches=2)
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    await threaded(lambda: w.claude(tools=[search]).chat(ASKED))


@situation(
    "Anthropic, structured_predict",
    outcome="estimated",
    reason=_OWN_REQUEST,
    held=False,
    needs=HAS_ANTHROPIC,
)
async def _(w: World) -> None:
    llm = w.claude()
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation(
    "Anthropic, as_structured_llm",
    outcome="estimated",
    reason="the answer's usage is not passed on",
    needs=HAS_ANTHROPIC,
)
async def _(w: World) -> None:
    await threaded(lambda: w.claude().as_structured_llm(Weather).chat(ASKED))


@situation("LiteLLM, chat", needs=HAS_LITELLM)
async def _(w: World) -> None:
    await threaded(lambda: w.litellm().chat(ASKED))


@situation("LiteLLM, streamed", needs=HAS_LITELLM)
async def _(w: World) -> None:
    llm = w.litellm(additional_kwargs=dict(_USAGE))
    await threaded(lambda: list(llm.stream_chat(ASKED)))


@situation("router, chat")
async def _(w: World) -> None:
    await threaded(lambda: w.router().chat(ASKED))


@situation("router, astream_chat, usage not asked for by the user")
async def _(w: World) -> None:
    await read(w.router().astream_chat(ASKED))


@situation("router, the first model fails", entries=2)
async def _(w: World) -> None:
    w.provider.behave("gpt-4o", Behavior(status=503))
    await threaded(lambda: w.router().chat(ASKED))


@situation("router, structured_predict")
async def _(w: World) -> None:
    llm = w.router()
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("router, stream_structured_predict")
async def _(w: World) -> None:
    llm = w.router(w.by_functions())
    await threaded(lambda: list(llm.stream_structured_predict(Weather, ASK_WEATHER, city="Oslo")))


@situation("router, query engine, streamed")
async def _(w: World) -> None:
    engine = w.engine(w.router(), streaming=True)
    await threaded(lambda: list(engine.query(TEXT).response_gen))


@situation("router, FunctionAgent, streamed", entries=2)
async def _(w: World) -> None:
    await run(FunctionAgent(tools=[TOOL], llm=w.router()), CALLS_A_TOOL)


@situation("router, FunctionAgent, the first model fails from its second step on", entries=3)
async def _(w: World) -> None:
    router = w.router()

    def tool(city: str) -> str:
        """Tell the weather."""
        w.provider.behave("gpt-4o", Behavior(status=503))
        return weather(city)

    told = FunctionTool.from_defaults(tool, name="weather")
    await run(FunctionAgent(tools=[told], llm=router), CALLS_A_TOOL)


@situation(
    "router, stream that the consumer leaves",
    outcome="estimated",
    reason="usage comes at the end of a stream",
)
async def _(w: World) -> None:
    w.behave(completion_tokens=100, chunk_delay=0.1)

    def leave() -> None:
        stream: Any = w.router().stream_chat(ASKED)
        for _ in zip(range(5), stream, strict=False):
            pass
        stream.close()

    await threaded(leave)


@situation("router, Gemini, structured_predict")
async def _(w: World) -> None:
    llm = w.router(w.gemini())
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("router, Anthropic, structured_predict", needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    llm = w.router(w.claude())
    await threaded(lambda: llm.structured_predict(Weather, ASK_WEATHER, city="Oslo"))


@situation("router, from OpenAI to Anthropic, tools, streamed", entries=2, needs=HAS_ANTHROPIC)
async def _(w: World) -> None:
    w.provider.behave("gpt-4o", Behavior(status=503))
    llm = w.router(w.openai(), w.claude())
    await read(llm.astream_chat_with_tools([TOOL], "Oslo?", tool_required=True))


@situation("router's cache: chat, then the same as a stream", entries=2)
async def _(w: World) -> None:
    llm = w.router(cache=w.cache())
    await threaded(lambda: llm.chat(ASKED))
    await threaded(lambda: list(llm.stream_chat(ASKED)))


@situation("router's cache: an agent's second run", entries=4)
async def _(w: World) -> None:
    llm = w.router(cache=w.cache())
    for _ in range(2):
        await run(FunctionAgent(tools=[TOOL], llm=llm), CALLS_A_TOOL)


@situation("CachedLLM, chat twice", entries=2)
async def _(w: World) -> None:
    llm = CachedLLM(w.openai(), cache=w.cache())
    for _ in range(2):
        await llm.achat(ASKED)


@situation("CachedLLM, as_structured_llm twice", entries=2)
async def _(w: World) -> None:
    llm = CachedLLM(w.openai(), cache=w.cache()).as_structured_llm(Weather)
    for _ in range(2):
        await threaded(lambda: llm.chat(ASKED))


@situation("embeddings in 2 requests, and a query", entries=3)
async def _(w: World) -> None:
    model = w.embedding(embed_batch_size=2)
    await threaded(lambda: model.get_text_embedding_batch(["a", "b b", "c c c"]))
    await threaded(lambda: model.get_query_embedding("b?"))


@situation("embeddings, aget_text_embedding_batch in 2 requests", entries=2)
async def _(w: World) -> None:
    await w.embedding(embed_batch_size=2).aget_text_embedding_batch(["a", "b b", "c c c"])


@situation(
    "embedding, with a client of its own for each request",
    outcome="estimated",
    reason="nobody sees such a client",
)
async def _(w: World) -> None:
    model = w.embedding(reuse_client=False)
    await threaded(lambda: model.get_text_embedding("Oslo lies by a fjord."))


@situation("vector index: documents, a question and its answer", entries=3)
async def _(w: World) -> None:
    def ask() -> None:
        texts = [Document(text="Oslo lies by a fjord.")]
        index = VectorStoreIndex.from_documents(texts, embed_model=w.embedding())
        index.as_query_engine(llm=w.openai()).query("Oslo?")

    await threaded(ask)


@situation("rerank")
async def _(w: World) -> None:
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("Oslo", "Bergen")]
    reranker = w.reranker()
    await threaded(lambda: reranker.postprocess_nodes(nodes, QueryBundle("capital?")))
