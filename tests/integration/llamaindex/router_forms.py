"""Each entry point of a router, by its name in LlamaIndex."""

from collections.abc import Awaitable, Callable
from typing import Any

from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llmcost_llamaindex import FallbackRouter

TEXT = "How much does this cost?"
ASKED = [ChatMessage(TEXT)]
PROMPT = PromptTemplate("Where is {place}?")


class City(BaseModel):
    """A city."""

    name: str


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


TOOLS = [FunctionTool.from_defaults(weather)]


async def drain(stream: Any) -> list[Any]:
    """Read an asynchronous stream to its end."""
    return [chunk async for chunk in await stream]


FORMS: dict[str, Callable[[FallbackRouter], Any]] = {
    "chat": lambda llm: llm.chat(ASKED),
    "complete": lambda llm: llm.complete(TEXT),
    "predict": lambda llm: llm.predict(PROMPT, place="Paris"),
    "chat_with_tools": lambda llm: llm.chat_with_tools(TOOLS, TEXT),
    "predict_and_call": lambda llm: llm.predict_and_call(TOOLS, "weather in Paris"),
    "structured_predict": lambda llm: llm.structured_predict(City, PROMPT, place="Paris"),
    "structured_chat": lambda llm: llm.as_structured_llm(City).chat(ASKED),
    "structured_complete": lambda llm: llm.as_structured_llm(City).complete(TEXT),
}
STREAMS: dict[str, Callable[[FallbackRouter], Any]] = {
    "stream_chat": lambda llm: list(llm.stream_chat(ASKED)),
    "stream_complete": lambda llm: list(llm.stream_complete(TEXT)),
    "stream": lambda llm: list(llm.stream(PROMPT, place="Paris")),
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools(TOOLS, TEXT)),
    "stream_structured_predict": lambda llm: list(
        llm.stream_structured_predict(City, PROMPT, place="Paris")
    ),
    "structured_stream_chat": lambda llm: list(llm.as_structured_llm(City).stream_chat(ASKED)),
}
ASYNC_FORMS: dict[str, Callable[[FallbackRouter], Awaitable[Any]]] = {
    "achat": lambda llm: llm.achat(ASKED),
    "acomplete": lambda llm: llm.acomplete(TEXT),
    "apredict": lambda llm: llm.apredict(PROMPT, place="Paris"),
    "achat_with_tools": lambda llm: llm.achat_with_tools(TOOLS, TEXT),
    "apredict_and_call": lambda llm: llm.apredict_and_call(TOOLS, "weather in Paris"),
    "astructured_predict": lambda llm: llm.astructured_predict(City, PROMPT, place="Paris"),
    "astream_chat": lambda llm: drain(llm.astream_chat(ASKED)),
    "astream_complete": lambda llm: drain(llm.astream_complete(TEXT)),
    "astream": lambda llm: drain(llm.astream(PROMPT, place="Paris")),
    "astream_chat_with_tools": lambda llm: drain(llm.astream_chat_with_tools(TOOLS, TEXT)),
    "astream_structured_predict": lambda llm: drain(
        llm.astream_structured_predict(City, PROMPT, place="Paris")
    ),
}
SYNC_FORMS = {**FORMS, **STREAMS}
