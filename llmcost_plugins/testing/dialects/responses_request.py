"""Reads and checks what OpenAI's responses are asked for."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.dialects.asks import Ask, Calling, Tool
from llmcost_plugins.testing.dialects.base import ApiError
from llmcost_plugins.testing.dialects.counting import count_messages, parts_of
from llmcost_plugins.testing.dialects.openai_common import bad_value, positive_int, require

_LEAST_CAP = 16
_CALLING = {"none": Calling.NONE, "required": Calling.REQUIRED}
_FORMATS = ("text", "json_object", "json_schema")
_TEXTS = ("input_text", "output_text", "text")


def read_response(body: Mapping[str, Any]) -> Ask:
    """Return what a valid request asks for."""
    items, wanted = _items(body), format_of(body)
    choice = body.get("tool_choice") or "auto"
    users = (item.get("content") for item in reversed(items) if item.get("role") == "user")
    structured = wanted.get("type") == "json_schema"
    return Ask(
        said=_text(next(users, None)),
        is_users_turn=items[-1].get("role") == "user",
        tools=[
            Tool(tool["name"], tool.get("parameters"))
            for tool in body.get("tools") or ()
            if tool["type"] == "function"
        ],
        calling=_CALLING.get(choice, Calling.AUTO) if isinstance(choice, str) else Calling.AUTO,
        forced=_forced(choice),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=wanted["schema"] if structured else None,
        json_object=wanted.get("type") == "json_object",
        cap=body.get("max_output_tokens"),
    )


def _forced(choice: Any) -> str | None:
    if isinstance(choice, dict) and choice.get("type") == "function":
        return str(choice["name"])
    return None


def format_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the format that the text shall have; empty for plain text."""
    wanted: Mapping[str, Any] = (body.get("text") or {}).get("format") or {}
    return wanted


def count_response_prompt(body: Mapping[str, Any]) -> int:
    """Return the tokens of the prompt, see `count_messages`; the instructions are one message."""
    texts = [body["instructions"]] if body.get("instructions") else []
    texts += [_all_text(item) for item in _items(body)]
    images = [
        part
        for item in _items(body)
        for part in parts_of(item.get("content"))
        if part.get("type") == "input_image"
    ]
    return count_messages(texts, len(images), (body.get("tools"), format_of(body).get("schema")))


def check_request(body: Mapping[str, Any]) -> None:
    """Raise ApiError if the request is not what the API accepts."""
    given = require(body, "input")
    if not isinstance(given, str | list) or not given:
        raise bad_value(param="input", expected="a non-empty string or an array of items")
    if not all(isinstance(item, dict) and _is_item(item) for item in _items(body)):
        raise bad_value(param="input", expected="items with a 'role' or a 'type'")
    cap = positive_int(body, "max_output_tokens")
    if cap is not None and cap < _LEAST_CAP:
        raise bad_value(param="max_output_tokens", expected=f"an integer >= {_LEAST_CAP}")
    if body.get("previous_response_id") is not None:
        message = f"Previous response with id {body['previous_response_id']!r} not found."
        raise ApiError(
            400, message, param="previous_response_id", code="previous_response_not_found"
        )
    _check_tools(body)
    wanted = format_of(body)
    if wanted and wanted.get("type") not in _FORMATS:
        raise bad_value(param="text.format", expected=f"type {' or '.join(_FORMATS)}")
    if wanted.get("type") == "json_schema" and not isinstance(wanted.get("schema"), dict):
        raise bad_value(param="text.format.schema", expected="an object")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    names = set()
    for tool in tools:
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise bad_value(param="tools", expected="objects with a 'type'")
        if tool["type"] == "function" and not isinstance(tool.get("name"), str):
            raise bad_value(param="tools", expected="functions with a 'name'")
        names.add(tool.get("name"))
    if isinstance(choice, dict):
        if choice.get("type") == "function" and choice.get("name") not in names:
            named = choice.get("name")
            raise bad_value(param="tool_choice", expected=f"one of the tools, not {named!r}")
    elif choice not in (None, "none", "auto", "required"):
        raise bad_value(param="tool_choice", expected="'none', 'auto', 'required' or a tool")
    elif choice == "required" and not tools:
        raise bad_value(param="tool_choice", expected="'none' or 'auto' without tools")


def _is_item(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("role"), str) or isinstance(item.get("type"), str)


def _items(body: Mapping[str, Any]) -> list[Any]:
    given = body["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in parts_of(content) if part.get("type") in _TEXTS)


def _all_text(item: Mapping[str, Any]) -> str:
    parts = (item.get("name"), item.get("arguments"), _text(item.get("output")))
    return _text(item.get("content")) + "".join(part for part in parts if isinstance(part, str))
