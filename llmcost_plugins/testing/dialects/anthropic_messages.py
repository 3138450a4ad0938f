"""Anthropic's `POST /v1/messages`."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.anthropic_request import (
    check_request,
    count_message_prompt,
    read_messages,
    shows_thinking,
)
from llmcost_plugins.testing.dialects.anthropic_stream import ENDING, stream_events
from llmcost_plugins.testing.dialects.base import Answer, ApiError, Call, JsonObject
from llmcost_plugins.testing.dialects.replies import End, Reply, count_usage, make_reply

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_FIRST_OF_THEIRS = 500
_REASONS = {
    End.DONE: "end_turn",
    End.TOOLS: "tool_use",
    End.LENGTH: "max_tokens",
    End.STOP_SEQUENCE: "stop_sequence",
}


class AnthropicMessages:
    """Messages, plain and streamed; both forms of an answer say and bill the same.

    As in the real API `input_tokens` leaves out what is cached, and the last event of a stream does
    not tell apart for how long tokens are cached. With `Behavior(no_usage=True)` all counts are 0,
    as from some servers that imitate the API: it has no way to leave them out.
    """

    path = "/v1/messages"
    behaviors = frozenset({"cache_write_1h_tokens", "cache_write_tokens", "web_searches"})

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        """Tell whether the body asks for a stream."""
        return body.get("stream") is True

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Accept any API key or bearer token, with the version of the API."""
        token = headers.get("authorization", "").partition(" ")[2]
        if not (headers.get("x-api-key", "") or token).strip():
            raise ApiError(401, "x-api-key header is required")
        if not headers.get("anthropic-version"):
            raise ApiError(400, "anthropic-version: header is required")

    def error_body(self, error: ApiError) -> JsonObject:
        """Return Anthropic's error object."""
        theirs = error.status >= _FIRST_OF_THEIRS
        fallback = "api_error" if theirs else "invalid_request_error"
        kind = _ERROR_TYPES.get(error.status, fallback)
        return {"type": "error", "error": {"type": kind, "message": error.message}}

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check messages, limits, tools, thinking and the format of the output."""
        check_request(body)

    def answer(self, call: Call) -> Answer:
        """Answer with blocks of content, as a stream if the request says so."""
        behavior = call.behavior
        reply = make_reply(read_messages(call.body), behavior)
        usage = count_usage(behavior, [reply], lambda: count_message_prompt(call.body))
        message = {
            "id": f"msg_{call.id}",
            "type": "message",
            "role": "assistant",
            "model": call.served_model,
            "content": _blocks(call, reply),
            "stop_reason": behavior.finish_reason or _REASONS[reply.end],
            "stop_sequence": reply.stopped_by,
            "usage": _report(call, usage),
        }
        tier = behavior.service_tier
        if self.is_stream(call.body):
            events = stream_events(message, reply)
            return Answer(usage, events=events, ending=ENDING, service_tier=tier)
        return Answer(usage, message, service_tier=tier)


def _blocks(call: Call, reply: Reply) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    if reply.reasoning and shows_thinking(call.body):
        signature = f"signature-{call.id}"
        thinking = {"thinking": "The user wants an answer.", "signature": signature}
        blocks.append({"type": "thinking", **thinking})
    for number in range(call.behavior.web_searches):
        blocks += _search(f"srvtoolu_{call.id}_{number}", f"query {number + 1}")
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for number, tool in enumerate(reply.calls):
        id_ = f"toolu_{call.id}_{number}"
        blocks.append({"type": "tool_use", "id": id_, "name": tool.name, "input": tool.parsed()})
    return blocks


def _search(id_: str, query: str) -> list[JsonObject]:
    found = {
        "type": "web_search_result",
        "title": query,
        "url": "https://example.com/",
        "encrypted_content": "none",
        "page_age": None,
    }
    return [
        {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": id_, "content": [found]},
    ]


def _report(call: Call, usage: TokenCounts) -> JsonObject:
    if call.behavior.no_usage:
        return {"input_tokens": 0, "output_tokens": 0}
    written = usage.written_5m + usage.written_1h
    report: JsonObject = {
        "input_tokens": usage.prompt - usage.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.written_5m,
            "ephemeral_1h_input_tokens": usage.written_1h,
        },
        "output_tokens": usage.completion,
        "service_tier": call.behavior.service_tier or "standard",
    }
    if usage.reasoning:
        report["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        tools = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
        report["server_tool_use"] = tools
    return report
