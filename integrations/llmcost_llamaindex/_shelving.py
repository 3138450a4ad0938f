"""A router's request as the cache sees it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from llama_index.core.llms.llm import LLM

from llmcost_llamaindex._asks import Ask, ChatAsk, CompleteAsk, PromptAsk, StructureAsk, ToolsAsk
from llmcost_llamaindex._requests import (
    Request,
    chat_request,
    completion_request,
    conversation,
    structure_request,
)
from llmcost_llamaindex._routes import PlannedCall, Route
from llmcost_llamaindex._shelf import Planned

_FLAGS: Final = frozenset({"allow_parallel_tool_calls", "tool_required"})


def apart(ask: Ask) -> tuple[Ask, bool | None]:
    """Return a request without what it says of the cache, and what that is."""
    if isinstance(ask, StructureAsk):
        said, wanted = _without_wish(ask.llm_kwargs)
        return replace(ask, llm_kwargs=said), wanted
    if isinstance(ask, PromptAsk):
        if "cache" in ask.prompt.template_vars:
            return ask, None
        said, wanted = _without_wish(ask.prompt_args)
        return replace(ask, prompt_args=said), wanted
    if isinstance(ask, ChatAsk | CompleteAsk | ToolsAsk):
        said, wanted = _without_wish(ask.kwargs)
        return replace(ask, kwargs=said), wanted
    return ask, None


def shelved(
    plan: PlannedCall, ask: Ask, wanted: bool | None, route: Route, *, streamed: bool = False
) -> Planned:
    """Return what the cache is asked about a planned call."""
    llm = plan.asked.llm
    request = replace(_request(llm, ask), wanted=wanted)
    return Planned(llm, request, plan.spec, route.tracker, streamed)


def _without_wish(said: Mapping[str, Any]) -> tuple[dict[str, Any], bool | None]:
    rest = dict(said)
    wanted = rest.pop("cache", None)
    return rest, wanted if isinstance(wanted, bool) else None


def _request(llm: LLM, ask: Ask) -> Request:
    if isinstance(ask, ChatAsk):
        return chat_request(ask.messages, ask.kwargs)
    if isinstance(ask, CompleteAsk):
        return completion_request(ask.prompt, ask.kwargs, formatted=ask.formatted)
    if isinstance(ask, ToolsAsk):
        flags = {name: value for name, value in ask.kwargs.items() if name in _FLAGS and value}
        said = {name: value for name, value in ask.kwargs.items() if name not in _FLAGS}
        return chat_request(conversation(ask.user_msg, ask.chat_history), said, ask.tools, flags)
    if isinstance(ask, StructureAsk):
        return structure_request(ask.output_cls, ask.prompt, ask.llm_kwargs, ask.prompt_args)
    assert isinstance(ask, PromptAsk)  # noqa: S101 - there are no others
    return _request(llm, ask.written_for(llm))
