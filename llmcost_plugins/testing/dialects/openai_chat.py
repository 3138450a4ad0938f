"""OpenAI's `POST /v1/chat/completions`."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects import chat_choice
from llmcost_plugins.testing.dialects.base import (
    Answer,
    ApiError,
    Call,
    Event,
    JsonObject,
    encode_json,
)
from llmcost_plugins.testing.dialects.chat_prompt import count_chat_prompt
from llmcost_plugins.testing.dialects.openai_common import (
    OpenAIEndpoint,
    bad_value,
    positive_int,
    require,
    used_tier,
)
from llmcost_plugins.testing.dialects.replies import Reply, count_usage, make_reply

_DONE = b"data: [DONE]\n\n"
_MAX_CHOICES = 128


class OpenAIChat(OpenAIEndpoint):
    """Chat completions, plain and streamed; both forms of an answer say and bill the same."""

    path = "/v1/chat/completions"
    behaviors = frozenset({"cache_write_tokens"})

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check messages, limits, tools and the response format."""
        messages = require(body, "messages")
        if not isinstance(messages, list) or not messages:
            raise bad_value(param="messages", expected="a non-empty array")
        if not all(isinstance(message, dict) and message.get("role") for message in messages):
            raise bad_value(param="messages", expected="objects with a 'role'")
        for param in ("max_tokens", "max_completion_tokens"):
            positive_int(body, param)
        if (positive_int(body, "n") or 1) > _MAX_CHOICES:
            raise bad_value(param="n", expected=f"an integer <= {_MAX_CHOICES}")
        if body.get("stream_options") is not None and not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise ApiError(400, message, param="stream_options")
        _check_stop(body.get("stop"))
        _check_tools(body)
        _check_format(body.get("response_format"))

    def answer(self, call: Call) -> Answer:
        """Answer with `n` choices, as a stream if the request says so."""
        ask = chat_choice.read_chat(call.body)
        replies = [make_reply(ask, call.behavior)] * (call.body.get("n") or 1)
        usage = count_usage(call.behavior, replies, lambda: count_chat_prompt(call.body))
        report = None if call.behavior.no_usage else _report(call.behavior, usage)
        reason = call.behavior.finish_reason or chat_choice.finish_reason(replies[0], ask)
        tier = used_tier(call)
        if call.body.get("stream"):
            events = _stream(call, replies, reason, report)
            return Answer(usage, events=events, ending=_DONE, service_tier=tier)
        body = {
            **_envelope(call, "chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": chat_choice.message(reply, _call_prefix(call, index)),
                    "logprobs": None,
                    "finish_reason": reason,
                }
                for index, reply in enumerate(replies)
            ],
        }
        if report is not None:
            body["usage"] = report
        return Answer(usage, body, service_tier=tier)


def _report(behavior: Behavior, usage: TokenCounts) -> JsonObject:
    prompt_details = {"cached_tokens": usage.cached, "audio_tokens": 0}
    if behavior.cache_write_tokens is not None:
        prompt_details["cache_write_tokens"] = behavior.cache_write_tokens
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _envelope(call: Call, kind: str) -> JsonObject:
    envelope: JsonObject = {
        "id": f"chatcmpl-{call.id}",
        "object": kind,
        "created": call.created,
        "model": call.served_model,
        "system_fingerprint": "fp_simulated",
    }
    tier = used_tier(call)
    return envelope if tier is None else {**envelope, "service_tier": tier}


def _call_prefix(call: Call, index: int) -> str:
    return f"call_{call.id}_{index}"


def _stream(
    call: Call, replies: list[Reply], reason: str, report: JsonObject | None
) -> Iterator[Event]:
    envelope = _envelope(call, "chat.completion.chunk")
    wants_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    if wants_usage and report is not None:
        envelope["usage"] = None

    def chunk(index: int, delta: JsonObject, end: str | None = None, **kind: bool) -> Event:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": end}
        return _event({**envelope, "choices": [choice]}, **kind)

    for index, reply in enumerate(replies):
        content = None if reply.calls else ""
        yield chunk(index, {"role": "assistant", "content": content, "refusal": None})
    all_deltas = (chat_choice.deltas(r, _call_prefix(call, i)) for i, r in enumerate(replies))
    for deltas in zip(*all_deltas, strict=True):
        for index, delta in enumerate(deltas):
            yield chunk(index, delta, content=True)
    for index in range(len(replies)):
        yield chunk(index, {}, reason)
    if wants_usage and report is not None:
        yield _event({**envelope, "choices": [], "usage": report})


def _event(data: JsonObject, *, content: bool = False) -> Event:
    return Event(b"data: " + encode_json(data) + b"\n\n", content)


def _check_stop(stop: Any) -> None:
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise bad_value(param="stop", expected="a non-empty string or an array of them")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools:
        if choice not in (None, "none", "auto"):
            message = "'tool_choice' is only allowed when 'tools' are specified."
            raise ApiError(400, message, param="tool_choice")
        return
    try:
        names = {tool["function"]["name"] for tool in tools}
    except (KeyError, TypeError):
        raise bad_value(param="tools", expected="functions with a name") from None
    if isinstance(choice, dict):
        named = (choice.get("function") or {}).get("name")
        if named not in names:
            raise bad_value(param="tool_choice", expected=f"one of the tools, not {named!r}")
    elif choice not in (None, "none", "auto", "required"):
        raise bad_value(param="tool_choice", expected="'none', 'auto', 'required' or a function")


def _check_format(wanted: Any) -> None:
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_value(
            param="response_format", expected="type 'text', 'json_object' or 'json_schema'"
        )
    if kind == "json_schema" and not isinstance(wanted.get("json_schema"), dict):
        raise bad_value(param="response_format.json_schema", expected="an object")
