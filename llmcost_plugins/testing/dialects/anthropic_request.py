"""Reads and checks what Anthropic's messages are asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmcost_plugins.testing.dialects.asks import Ask, Calling, Tool
from llmcost_plugins.testing.dialects.base import ApiError, encode_json
from llmcost_plugins.testing.dialects.counting import count_messages, parts_of

_ROLES = ("user", "assistant", "system")
_CALLING = {"any": Calling.REQUIRED, "none": Calling.NONE}
_CHOICES = ("auto", "any", "tool", "none")
_LEAST_BUDGET = 1024


def shows_thinking(body: Mapping[str, Any]) -> bool:
    """Tell whether the request turns thinking on."""
    return (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def read_messages(body: Mapping[str, Any]) -> Ask:
    """Return what a valid request asks for."""
    choice, last = body.get("tool_choice") or {}, body["messages"][-1]
    answered = any(block.get("type") == "tool_result" for block in parts_of(last.get("content")))
    users = (message for message in reversed(body["messages"]) if message["role"] == "user")
    said = filter(None, (_text(message.get("content")) for message in users))
    schema = _format(body).get("schema") if _format(body) else None
    return Ask(
        said=next(said, ""),
        is_users_turn=last["role"] == "user" and not answered,
        tools=[
            Tool(tool["name"], tool.get("input_schema"))
            for tool in body.get("tools") or ()
            if tool.get("type", "custom") == "custom"
        ],
        calling=_CALLING.get(choice.get("type", ""), Calling.AUTO),
        forced=choice["name"] if choice.get("type") == "tool" else None,
        parallel=choice.get("disable_parallel_tool_use") is not True,
        schema=schema,
        stops=body.get("stop_sequences") or (),
        cap=body["max_tokens"],
    )


def count_message_prompt(body: Mapping[str, Any]) -> int:
    """Return the tokens of the prompt, see `count_messages`; the system's is one message."""
    contents = [body["system"]] if body.get("system") else []
    contents += [message.get("content") for message in body["messages"]]
    texts = ["".join(_all_texts(content)) for content in contents]
    images = sum(_images(content) for content in contents)
    return count_messages(texts, images, (body.get("tools"), _format(body)))


def check_request(body: Mapping[str, Any]) -> None:
    """Raise ApiError if the request is not what the API accepts."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad(param="messages", message="at least one message is required")
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise _bad(
                param=f"messages.{index}.role",
                message=f"Input should be {' or '.join(map(repr, _ROLES))}",
            )
        if not message.get("content"):
            raise _bad(
                param=f"messages.{index}", message="all messages must have non-empty content"
            )
    _check_cap(body)
    stops = body.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(s, str) and s.strip() for s in stops):
        raise _bad(param="stop_sequences", message="each stop sequence must contain non-whitespace")
    _check_tools(body)
    wanted = _format(body)
    if wanted and (wanted.get("type") != "json_schema" or not isinstance(wanted["schema"], dict)):
        raise _bad(
            param="output_config.format", message="Input should be a 'json_schema' with a 'schema'"
        )


def _bad(*, param: str, message: str) -> ApiError:
    return ApiError(400, f"{param}: {message}")


def _check_cap(body: Mapping[str, Any]) -> None:
    cap = body.get("max_tokens")
    if cap is None:
        raise _bad(param="max_tokens", message="Field required")
    if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
        raise _bad(
            param="max_tokens", message="Input should be an integer greater than or equal to 1"
        )
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < _LEAST_BUDGET:
            raise _bad(
                param="thinking.budget_tokens", message=f"Input should be at least {_LEAST_BUDGET}"
            )
        if budget >= cap:
            raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise _bad(param=f"tools.{index}.name", message="Field required")
        if tool.get("type", "custom") == "custom" and not isinstance(
            tool.get("input_schema"), dict
        ):
            raise _bad(param=f"tools.{index}.input_schema", message="Field required")
    if choice is None:
        return
    if not tools:
        raise _bad(param="tool_choice", message="may only be specified while providing tools")
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in _CHOICES:
        raise _bad(
            param="tool_choice.type", message=f"Input should be one of {', '.join(_CHOICES)}"
        )
    if kind == "tool" and choice.get("name") not in {tool["name"] for tool in tools}:
        raise _bad(
            param="tool_choice", message=f"Tool {choice.get('name')!r} not found in provided tools"
        )
    if kind in ("any", "tool") and shows_thinking(body):
        raise ApiError(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _format(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the format of the output, in its present place or in the one of the beta."""
    config = body.get("output_config") or {}
    wanted: Mapping[str, Any] = config.get("format") or body.get("output_format") or {}
    return wanted


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in parts_of(content) if part.get("type") == "text")


def _all_texts(content: object) -> Iterator[str]:
    """Yield all texts of a content: those of tool calls and of their results too."""
    yield _text(content)
    for part in parts_of(content):
        if part.get("type") == "tool_use":
            yield f"{part.get('name', '')}{encode_json(part.get('input')).decode()}"
        elif part.get("type") == "tool_result":
            yield from _all_texts(part.get("content"))
        elif part.get("type") == "thinking":
            yield str(part.get("thinking", ""))


def _images(content: object) -> int:
    parts = parts_of(content)
    inner: int = sum(_images(part.get("content")) for part in parts)
    return inner + len([part for part in parts if part.get("type") == "image"])
