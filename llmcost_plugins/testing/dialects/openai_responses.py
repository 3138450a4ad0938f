"""OpenAI's `POST /v1/responses`."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.base import Answer, Call, JsonObject
from llmcost_plugins.testing.dialects.openai_common import OpenAIEndpoint, used_tier
from llmcost_plugins.testing.dialects.replies import End, Reply, count_usage, make_reply
from llmcost_plugins.testing.dialects.responses_request import (
    check_request,
    count_response_prompt,
    format_of,
    read_response,
)
from llmcost_plugins.testing.dialects.responses_stream import ending_of, stream_events

_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}
_ENCRYPTED = "reasoning.encrypted_content"


class OpenAIResponses(OpenAIEndpoint):
    """Responses, plain and streamed; both forms of an answer say and bill the same.

    Nothing is stored, so that no response can be continued by its id.
    """

    path = "/v1/responses"
    behaviors = frozenset({"cache_write_tokens", "web_searches"})

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check the input, limits, tools and the format of the text."""
        check_request(body)

    def answer(self, call: Call) -> Answer:
        """Answer with items of output, as a stream if the request says so."""
        behavior = call.behavior
        reply = make_reply(read_response(call.body), behavior)
        usage = count_usage(behavior, [reply], lambda: count_response_prompt(call.body))
        reason = behavior.finish_reason
        if reason is None and reply.end is End.LENGTH:
            reason = "max_output_tokens"
        tier = used_tier(call)
        response = {
            "id": f"resp_{call.id}",
            "object": "response",
            "created_at": call.created,
            "status": "incomplete" if reason else "completed",
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": call.served_model,
            "output": _items(call, reply, "incomplete" if reason else "completed"),
            "previous_response_id": None,
            "service_tier": tier or "default",
            "text": {"format": format_of(call.body) or {"type": "text"}},
            "usage": None if behavior.no_usage else _report(call, usage),
            "user": None,
            **{name: call.body.get(name, default) for name, default in _ECHOED.items()},
        }
        if self.is_stream(call.body):
            return Answer(
                usage,
                events=stream_events(response, reply),
                ending=ending_of(response, reply),
                service_tier=tier,
            )
        return Answer(usage, response, service_tier=tier)


def _items(call: Call, reply: Reply, status: str) -> list[JsonObject]:
    items: list[JsonObject] = []
    if reply.reasoning:
        items.append(_reasoning(call))
    for number in range(call.behavior.web_searches):
        action = {"type": "search", "query": f"query {number + 1}"}
        search = {"id": f"ws_{call.id}_{number}", "status": "completed", "action": action}
        items.append({"type": "web_search_call", **search})
    if reply.text or not (reply.calls or reply.reasoning):
        text = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{call.id}", "role": "assistant", "status": status}
        items.append({"type": "message", **message, "content": [text]})
    for number, tool in enumerate(reply.calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{call.id}_{number}",
                "call_id": f"call_{call.id}_{number}",
                "name": tool.name,
                "arguments": tool.arguments,
                "status": status,
            }
        )
    return items


def _reasoning(call: Call) -> JsonObject:
    item: JsonObject = {"type": "reasoning", "id": f"rs_{call.id}", "summary": []}
    if (call.body.get("reasoning") or {}).get("summary"):
        item["summary"] = [{"type": "summary_text", "text": "The user wants an answer."}]
    if _ENCRYPTED in (call.body.get("include") or ()):
        item["encrypted_content"] = f"encrypted-{call.id}"
    return item


def _report(call: Call, usage: TokenCounts) -> JsonObject:
    details = {"cached_tokens": usage.cached}
    if call.behavior.cache_write_tokens is not None:
        details["cache_write_tokens"] = call.behavior.cache_write_tokens
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": details,
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }
