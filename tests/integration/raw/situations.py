"""Situations in which the clients of OpenAI and Anthropic are billed: one function each."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import APIStatusError, APITimeoutError, AsyncOpenAI, LengthFinishReasonError, OpenAI
from pydantic import BaseModel

from llmcost_plugins import CostTracker, track_cost
from llmcost_plugins.testing import Behavior, SimulatedProvider

GPT: Final = "gpt-4o"
CLAUDE: Final = "claude-sonnet-4-6"
SAID: Final[Any] = [{"role": "user", "content": "hello"}]
TOOL: Final[Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
Outcome = Literal["exact", "estimated"]


@dataclass(slots=True)
class World:
    """Where a situation takes place."""

    provider: SimulatedProvider
    tracker: CostTracker
    stack: ExitStack = field(default_factory=ExitStack)

    def openai(self, **options: Any) -> OpenAI:
        """Return a wrapped client."""
        return self.tracker.wrap(self.bare_openai(**options))

    def bare_openai(self, **options: Any) -> OpenAI:
        """Return a client that nobody sees."""
        defaults: dict[str, Any] = {"max_retries": 0}
        client = OpenAI(base_url=self.provider.base_url, api_key="k", **{**defaults, **options})
        return self.stack.enter_context(client)

    def aopenai(self, **options: Any) -> AsyncOpenAI:
        """Return a wrapped client, to be entered."""
        url = self.provider.base_url
        return self.tracker.wrap(AsyncOpenAI(base_url=url, api_key="k", max_retries=0, **options))

    def claude(self) -> Anthropic:
        """Return a wrapped client."""
        client = Anthropic(base_url=self.provider.root_url, api_key="k", max_retries=0)
        return self.tracker.wrap(self.stack.enter_context(client))

    def aclaude(self) -> AsyncAnthropic:
        """Return a wrapped client, to be entered."""
        url = self.provider.root_url
        return self.tracker.wrap(AsyncAnthropic(base_url=url, api_key="k", max_retries=0))

    def behave(self, **facts: Any) -> None:
        """Say how all requests are answered."""
        self.provider.behave("*", Behavior(**facts))


Play = Callable[[World], object]
AsyncPlay = Callable[[World], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Situation:
    """One situation.

    Attributes:
        name: what happens.
        play: makes it happen.
        outcome: whether the cost is known exactly or estimated.
        reason: why it is not exact.
    """

    name: str
    play: Play
    outcome: Outcome
    reason: str


SITUATIONS: Final[list[Situation]] = []


def situation(name: str, *, outcome: Outcome = "exact", reason: str = "") -> Callable[[Play], Play]:
    """Add a function as a situation."""

    def add(play: Play) -> Play:
        SITUATIONS.append(Situation(name, play, outcome, reason))
        return play

    return add


def asituation(
    name: str, *, outcome: Outcome = "exact", reason: str = ""
) -> Callable[[AsyncPlay], Play]:
    """Add an asynchronous function as a situation."""

    def add(play: AsyncPlay) -> Play:
        async def whole(w: World) -> None:
            await play(w)
            gc.collect()
            await asyncio.sleep(0)

        return situation(name, outcome=outcome, reason=reason)(lambda w: asyncio.run(whole(w)))

    return add


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


@situation("chat")
def _(w: World) -> None:
    w.openai().chat.completions.create(model=GPT, messages=SAID)


@situation("chat with two choices")
def _(w: World) -> None:
    w.openai().chat.completions.create(model=GPT, messages=SAID, n=2, max_tokens=100)


@situation("chat with tools")
def _(w: World) -> None:
    w.openai().chat.completions.create(model=GPT, messages=SAID, tools=[TOOL])


@situation("chat with cached and reasoning tokens")
def _(w: World) -> None:
    w.behave(prompt_tokens=900, cached_tokens=600, completion_tokens=90, reasoning_tokens=60)
    w.openai().chat.completions.create(model=GPT, messages=SAID)


@situation("chat parsed into a class")
def _(w: World) -> None:
    client = w.openai()
    answer = client.chat.completions.parse(model=GPT, messages=SAID, response_format=Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)


@situation("chat parsed, cut off by its length")
def _(w: World) -> None:
    w.behave(finish_reason="length")
    with pytest.raises(LengthFinishReasonError):
        w.openai().chat.completions.parse(model=GPT, messages=SAID, response_format=Weather)


@situation(
    "chat whose answer does not parse",
    outcome="estimated",
    reason="the SDK drops the answer that it cannot read",
)
def _(w: World) -> None:
    w.behave(content="no JSON")
    with pytest.raises(ValueError, match="Invalid JSON"):
        w.openai().chat.completions.parse(model=GPT, messages=SAID, response_format=Weather)


@situation("chat as a raw response")
def _(w: World) -> None:
    raw = w.openai().chat.completions.with_raw_response.create(model=GPT, messages=SAID)
    assert raw.headers
    assert raw.parse().choices


@situation("chat stream as a raw response")
def _(w: World) -> None:
    create = w.openai().chat.completions.with_raw_response.create
    assert list(create(model=GPT, messages=SAID, stream=True).parse())


@situation("chat as a streaming response that is parsed")
def _(w: World) -> None:
    create = w.openai().chat.completions.with_streaming_response.create
    with create(model=GPT, messages=SAID) as response:
        assert response.parse().choices


@situation(
    "chat as a streaming response read by bytes",
    outcome="estimated",
    reason="the bytes have gone by",
)
def _(w: World) -> None:
    create = w.openai().chat.completions.with_streaming_response.create
    with create(model=GPT, messages=SAID) as response:
        assert b"".join(response.iter_bytes())


@situation("chat stream")
def _(w: World) -> None:
    stream = w.openai().chat.completions.create(model=GPT, messages=SAID, stream=True)
    assert all(chunk.choices for chunk in stream)


@situation("chat stream that is asked for its usage")
def _(w: World) -> None:
    options: Any = {"include_usage": True}
    stream = w.openai().chat.completions.create(
        model=GPT, messages=SAID, stream=True, stream_options=options
    )
    assert list(stream)[-1].usage is not None


@situation(
    "chat stream without usage",
    outcome="estimated",
    reason="the provider does not report it",
)
def _(w: World) -> None:
    w.behave(no_usage=True)
    list(w.openai().chat.completions.create(model=GPT, messages=SAID, stream=True))


@situation(
    "chat stream that is forgotten",
    outcome="estimated",
    reason="the usage comes last",
)
def _(w: World) -> None:
    stream = w.openai().chat.completions.create(model=GPT, messages=SAID, stream=True)
    assert next(stream).choices


@situation(
    "chat stream closed after two chunks", outcome="estimated", reason="the usage comes last"
)
def _(w: World) -> None:
    with w.openai().chat.completions.create(model=GPT, messages=SAID, stream=True) as stream:
        next(stream)
        next(stream)


@situation("chat stream cut by the provider", outcome="estimated", reason="the usage never arrived")
def _(w: World) -> None:
    w.behave(cut_after=1)
    with suppress(Exception):
        list(w.openai().chat.completions.create(model=GPT, messages=SAID, stream=True))


@situation("chat stream helper")
def _(w: World) -> None:
    with w.openai().chat.completions.stream(model=GPT, messages=SAID) as stream:
        assert stream.get_final_completion().choices


@asituation("async chat")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        await client.chat.completions.create(model=GPT, messages=SAID)


@asituation("async chat stream")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        stream = await client.chat.completions.create(model=GPT, messages=SAID, stream=True)
        assert [chunk async for chunk in stream]


@asituation("async chat stream helper")
async def _(w: World) -> None:
    async with (
        w.aopenai() as client,
        client.chat.completions.stream(model=GPT, messages=SAID) as stream,
    ):
        assert [event async for event in stream]


@asituation("async chat as a raw response")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        raw = await client.chat.completions.with_raw_response.create(model=GPT, messages=SAID)
        assert raw.parse().choices


@asituation("async chat as a streaming response")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        create = client.chat.completions.with_streaming_response.create
        async with create(model=GPT, messages=SAID) as response:
            assert (await response.parse()).choices


@asituation(
    "async chat that is cancelled",
    outcome="estimated",
    reason="the provider may have answered",
)
async def _(w: World) -> None:
    w.behave(delay=30)
    async with w.aopenai() as client:
        task = asyncio.create_task(client.chat.completions.create(model=GPT, messages=SAID))
        while w.provider.in_flight == 0:  # noqa: ASYNC110 - the server runs in threads
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@situation("chat refused by the provider")
def _(w: World) -> None:
    w.behave(status=429)
    with pytest.raises(APIStatusError):
        w.openai().chat.completions.create(model=GPT, messages=SAID)


@situation("chat that times out", outcome="estimated", reason="the provider may have answered")
def _(w: World) -> None:
    w.behave(hang=True)
    with pytest.raises(APITimeoutError):
        w.openai(timeout=0.2).chat.completions.create(model=GPT, messages=SAID)


@situation("responses")
def _(w: World) -> None:
    w.openai().responses.create(model=GPT, input="hello")


@situation("responses stream")
def _(w: World) -> None:
    assert list(w.openai().responses.create(model=GPT, input=SAID, stream=True))


@situation("responses parsed into a class")
def _(w: World) -> None:
    answer = w.openai().responses.parse(model=GPT, input="hello", text_format=Weather)
    assert isinstance(answer.output_parsed, Weather)


@situation("responses stream helper")
def _(w: World) -> None:
    with w.openai().responses.stream(model=GPT, input="hello") as stream:
        assert stream.get_final_response().usage is not None


@asituation("async responses stream")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        stream = await client.responses.create(model=GPT, input="hello", stream=True)
        assert [event async for event in stream]


@situation("embeddings of texts")
def _(w: World) -> None:
    w.openai().embeddings.create(model="text-embedding-3-small", input=["a", "bc"])


@asituation("async embeddings of tokens")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        await client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3])


@situation("messages")
def _(w: World) -> None:
    w.claude().messages.create(model=CLAUDE, messages=SAID, max_tokens=100)


@situation("messages that write to the cache and read from it")
def _(w: World) -> None:
    w.behave(
        prompt_tokens=900,
        cached_tokens=300,
        cache_write_tokens=200,
        cache_write_1h_tokens=100,
        completion_tokens=50,
    )
    w.claude().messages.create(model=CLAUDE, messages=SAID, max_tokens=100)


@situation("messages as a raw response")
def _(w: World) -> None:
    create = w.claude().messages.with_raw_response.create
    raw = create(model=CLAUDE, messages=SAID, max_tokens=100)
    assert raw.parse().content


@situation("messages stream")
def _(w: World) -> None:
    create = w.claude().messages.create
    assert list(create(model=CLAUDE, messages=SAID, max_tokens=100, stream=True))


@situation("messages stream whose start alone tells how long tokens are cached")
def _(w: World) -> None:
    w.behave(prompt_tokens=900, cache_write_1h_tokens=400, completion_tokens=50)
    create = w.claude().messages.create
    assert list(create(model=CLAUDE, messages=SAID, max_tokens=100, stream=True))


@situation("messages stream helper")
def _(w: World) -> None:
    with w.claude().messages.stream(model=CLAUDE, messages=SAID, max_tokens=100) as stream:
        assert "".join(stream.text_stream)
        assert stream.get_final_message().content


@situation(
    "messages stream helper that is left",
    outcome="estimated",
    reason="the answer's tokens are reported last",
)
def _(w: World) -> None:
    with w.claude().messages.stream(model=CLAUDE, messages=SAID, max_tokens=100) as stream:
        for event in stream:
            if event.type == "text":
                break


@asituation("async messages")
async def _(w: World) -> None:
    async with w.aclaude() as client:
        await client.messages.create(model=CLAUDE, messages=SAID, max_tokens=100)


@asituation("async messages as a raw response")
async def _(w: World) -> None:
    async with w.aclaude() as client:
        create = client.messages.with_raw_response.create
        raw: Any = await create(model=CLAUDE, messages=SAID, max_tokens=100)
        assert raw.headers


@asituation("async messages stream helper")
async def _(w: World) -> None:
    async with (
        w.aclaude() as client,
        client.messages.stream(model=CLAUDE, messages=SAID, max_tokens=100) as stream,
    ):
        assert [text async for text in stream.text_stream]


@situation("beta messages")
def _(w: World) -> None:
    w.claude().beta.messages.create(model=CLAUDE, messages=SAID, max_tokens=100)


@situation("a copy of a wrapped client")
def _(w: World) -> None:
    w.openai().with_options(timeout=50).chat.completions.create(model=GPT, messages=SAID)


@situation("a decorated function")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker)
    def ask(model: str, messages: Any, max_tokens: int) -> Any:
        return client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens)

    assert ask(GPT, SAID, 100).choices


@situation("a decorated function that returns a stream")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker)
    def ask(*, model: str = GPT, messages: Any) -> Any:
        return client.responses.create(model=model, input=messages, stream=True)

    assert list(ask(messages=SAID))


@situation("a decorated generator")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker, model=GPT)
    def ask(messages: Any) -> Iterator[Any]:
        yield from client.responses.create(model=GPT, input=messages, stream=True)

    assert list(ask(SAID))


@situation(
    "a decorated generator of texts that is left",
    outcome="estimated",
    reason="texts report no usage",
)
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker, model=GPT, max_tokens=100)
    def ask(messages: Any) -> Iterator[str]:
        with client.responses.create(model=GPT, input=messages, stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    yield event.delta

    assert next(ask(SAID))


@asituation("a decorated coroutine")
async def _(w: World) -> None:
    url = w.provider.root_url
    async with AsyncAnthropic(base_url=url, api_key="k") as client:

        @track_cost(w.tracker)
        async def ask(model: str, messages: Any, max_tokens: int = 100) -> Any:
            return await client.messages.create(
                model=model, messages=messages, max_tokens=max_tokens
            )

        assert (await ask(CLAUDE, SAID)).content


@asituation("a decorated async generator")
async def _(w: World) -> None:
    url = w.provider.root_url
    async with AsyncAnthropic(base_url=url, api_key="k") as client:

        @track_cost(w.tracker, model=CLAUDE, max_tokens=100)
        async def ask(messages: Any) -> AsyncIterator[Any]:
            async for event in await client.messages.create(
                model=CLAUDE, messages=messages, max_tokens=100, stream=True
            ):
                yield event

        assert [event async for event in ask(SAID)]


@situation("a decorated function around a wrapped client")
def _(w: World) -> None:
    client = w.openai()

    @track_cost(w.tracker)
    def ask(model: str, messages: Any) -> str:
        return str(client.chat.completions.create(model=model, messages=messages).id)

    assert ask(GPT, SAID)


@situation("a decorated function in another")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker)
    @track_cost(w.tracker)
    def ask(model: str, messages: Any) -> Any:
        return client.chat.completions.create(model=model, messages=messages)

    assert ask(GPT, SAID).choices


@situation("a decorated function of which nothing is known before")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker)
    def ask(question: str) -> Any:
        said: Any = [{"role": "user", "content": question}]
        return client.chat.completions.create(model=GPT, messages=said)

    assert ask("hello").choices


@situation("a client wrapped twice")
def _(w: World) -> None:
    client = w.tracker.wrap(w.openai())
    client.chat.completions.create(model=GPT, messages=SAID)


@situation("chat whose messages can be read only once")
def _(w: World) -> None:
    w.openai().chat.completions.create(model=GPT, messages=iter(SAID))


@situation("chat that sends an answer of the SDK back")
def _(w: World) -> None:
    bare = w.bare_openai()
    answer = bare.chat.completions.create(model=f"{GPT}+no_usage=1", messages=SAID)
    w.provider.reset()
    said = [*SAID, answer.choices[0].message, *SAID]
    w.tracker.wrap(bare).chat.completions.create(model=GPT, messages=said)


@situation("chat stream as a streaming response")
def _(w: World) -> None:
    create = w.openai().chat.completions.with_streaming_response.create
    with create(model=GPT, messages=SAID, stream=True) as response:
        assert list(response.parse())


@asituation("async chat stream as a streaming response")
async def _(w: World) -> None:
    async with w.aopenai() as client:
        create = client.chat.completions.with_streaming_response.create
        async with create(model=GPT, messages=SAID, stream=True) as response:
            assert [chunk async for chunk in await response.parse()]


@asituation(
    "async chat stream closed after a chunk", outcome="estimated", reason="the usage comes last"
)
async def _(w: World) -> None:
    async with w.aopenai() as client:
        stream = await client.chat.completions.create(model=GPT, messages=SAID, stream=True)
        assert (await anext(stream)).choices
        await stream.close()


@situation("a decorated function that returns a generator")
def _(w: World) -> None:
    client = w.bare_openai()

    @track_cost(w.tracker, model=GPT)
    def ask(messages: Any) -> Any:
        return (event for event in client.responses.create(model=GPT, input=messages, stream=True))

    assert list(ask(SAID))


@situation(
    "a decorated async generator that is left",
    outcome="estimated",
    reason="the usage comes last",
)
def _(w: World) -> None:
    async def main() -> None:
        async with AsyncOpenAI(base_url=w.provider.base_url, api_key="k") as client:

            @track_cost(w.tracker, model=GPT)
            async def ask(messages: Any) -> AsyncIterator[Any]:
                async with await client.responses.create(
                    model=GPT, input=messages, stream=True
                ) as stream:
                    async for event in stream:
                        yield event

            events = ask(SAID)
            async for event in events:
                if event.type == "response.output_text.delta":
                    break
            await events.aclose()  # type: ignore[attr-defined] # it is a generator

    asyncio.run(main())
