"""The ways to ask a model that is cached, whole and in chunks: the one answers for the other."""

from collections.abc import Awaitable, Callable
from typing import Any

from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

ASKED = [ChatMessage("How much does this cost?")]
TEMPLATE = PromptTemplate("Say {word}")


class City(BaseModel):
    """A city."""

    name: str


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


TOOLS = [FunctionTool.from_defaults(weather)]


async def drain(stream: Awaitable[Any]) -> list[Any]:
    """Read an asynchronous stream to its end."""
    return [item async for item in await stream]


FORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "chat": (lambda llm: llm.chat(ASKED), lambda llm: list(llm.stream_chat(ASKED))),
    "complete": (lambda llm: llm.complete("x"), lambda llm: list(llm.stream_complete("x"))),
    "predict": (
        lambda llm: llm.predict(TEMPLATE, word="yes"),
        lambda llm: list(llm.stream(TEMPLATE, word="yes")),
    ),
    "structured_predict": (
        lambda llm: llm.structured_predict(City, TEMPLATE, word="yes"),
        lambda llm: list(llm.stream_structured_predict(City, TEMPLATE, word="yes")),
    ),
    "chat_with_tools": (
        lambda llm: llm.chat_with_tools(TOOLS, "What is the weather?"),
        lambda llm: list(llm.stream_chat_with_tools(TOOLS, "What is the weather?")),
    ),
}
ASYNC_FORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "chat": (lambda llm: llm.achat(ASKED), lambda llm: drain(llm.astream_chat(ASKED))),
    "complete": (lambda llm: llm.acomplete("x"), lambda llm: drain(llm.astream_complete("x"))),
    "predict": (
        lambda llm: llm.apredict(TEMPLATE, word="yes"),
        lambda llm: drain(llm.astream(TEMPLATE, word="yes")),
    ),
    "structured_predict": (
        lambda llm: llm.astructured_predict(City, TEMPLATE, word="yes"),
        lambda llm: drain(llm.astream_structured_predict(City, TEMPLATE, word="yes")),
    ),
    "chat_with_tools": (
        lambda llm: llm.achat_with_tools(TOOLS, "What is the weather?"),
        lambda llm: drain(llm.astream_chat_with_tools(TOOLS, "What is the weather?")),
    ),
}
