"""What the tests of agents share."""

from collections.abc import Sequence
from typing import Any, cast

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool, tool

from llmcost_plugins.testing import SimulatedProvider


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def an_agent(model: Any, *middleware: Any, tools: Sequence[BaseTool] = (), **options: Any) -> Any:
    """Build an agent."""
    return create_agent(model, list(tools), middleware=list(middleware), **options)


def question(text: str = "what is the weather in Rome") -> dict[str, Any]:
    """Return an agent's input."""
    return {"messages": [HumanMessage(text)]}


def on_thread(name: str = "t1", **config: Any) -> dict[str, Any]:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": name}, **config}


def last(result: dict[str, Any]) -> AIMessage:
    """Return the message that a run ended with."""
    messages: list[BaseMessage] = result["messages"]
    return cast("AIMessage", messages[-1])


def note(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the middleware noted in it."""
    found = last(result).response_metadata["llmcost"]
    assert isinstance(found, dict)
    return found


def asked(provider: SimulatedProvider) -> list[str]:
    """Return the model of each request that the provider has answered."""
    return [request.model for request in provider.requests]


class Insisting(AgentMiddleware):
    """Makes the model call a tool in every step: a loop that nothing but money ends."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(tool_choice="required"))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(tool_choice="required"))
