"""Messages as OpenAI's and Anthropic's clients take them: dictionaries."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.optimize.turns import Role, Turn

Change = Callable[[str], str]

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXTS: Final = frozenset({"text", "input_text"})
_MEDIA: Final = ("image", "audio", "video", "file", "document", "media")
_OUTPUTS: Final = "_output"


def map_content(content: Any, change: Change) -> Any:
    """Return content with its texts changed, the same object where none is.

    Args:
        content: a text, or a list of texts and blocks; also those within results of tools.
        change: text to text.
    """
    if isinstance(content, str):
        return change(content)
    if not isinstance(content, list):
        return content
    blocks = [_map_block(block, change) for block in content]
    same = all(new is old for new, old in zip(blocks, content, strict=True))
    return content if same else blocks


def _map_block(block: Any, change: Change) -> Any:
    if isinstance(block, str):
        return change(block)
    if not isinstance(block, Mapping):
        return block
    key = "text" if block.get("type") in _TEXTS else "content"
    if key == "content" and block.get("type") != "tool_result":
        return block
    if key == "text" and not isinstance(block.get("text"), str):
        return block
    old = block.get(key)
    new = map_content(old, change)
    return block if new is old else {**block, key: new}


def one_by_one(texts: Iterable[str]) -> Change:
    """Return a change for `map_content` that puts these texts in place, in order."""
    left = iter(texts)
    return lambda _: next(left)


def texts_of(content: Any) -> tuple[str, ...]:
    """Return the texts that `map_content` changes, in order."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_content(content, note)
    return tuple(found)


def rest_of(content: Any) -> tuple[tuple[str, ...], int]:
    """Return what `map_content` does not change, as texts, and how many media there are."""
    rest: list[str] = []
    media = 0
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, Mapping) or block.get("type") in _TEXTS:
            continue
        kind = str(block.get("type", ""))
        if any(word in kind for word in _MEDIA):
            media += 1
        elif kind == "tool_result":
            nested, more = rest_of(block.get("content"))
            rest += nested
            media += more
        else:
            rest.append(as_json(block))
    return tuple(rest), media


def as_json(value: Any) -> str:
    """Write a value as JSON; what JSON does not know by its text."""
    return json.dumps(value, default=str, ensure_ascii=False)


def read_message(message: Mapping[str, Any], place: int) -> Turn:
    """Read a message of chat completions, responses or Anthropic's messages.

    Raises:
        ConfigurationError: it is none.
    """
    said: object = message
    if not isinstance(said, Mapping) or not ("role" in said or "type" in said):
        msg = (
            f"message {place} is {said!r:.80}, no message; a good one is "
            f"{{'role': 'user', 'content': 'Why is the sky blue?'}}"
        )
        raise ConfigurationError(msg)
    kind = str(message.get("type", ""))
    if "role" not in message:
        return _item(message, kind)
    role = _ROLES.get(str(message["role"]))
    if role is None:
        msg = f"message {place} has the role {message['role']!r}; a good one is 'user'"
        raise ConfigurationError(msg)
    content = message.get("content")
    calls, answers = tuple(_calls(message)), tuple(_answers(message))
    if role == "assistant":
        said_by_model = {key: message[key] for key in message if key != "role"}
        return Turn(role, rest=(as_json(said_by_model),), calls=calls)
    rest, media = rest_of(content)
    return Turn("tool" if answers else role, texts_of(content), rest, media, answers=answers)


def _item(message: Mapping[str, Any], kind: str) -> Turn:
    """Read an item of the responses API that is no message."""
    call = str(message.get("call_id", ""))
    ids = (call,) if call else ()
    if kind.endswith(_OUTPUTS):
        output = message.get("output")
        rest, media = rest_of(output)
        return Turn("tool", texts_of(output), rest, media, answers=ids)
    # What the model thought belongs to what it then did.
    return Turn("assistant", rest=(as_json(message),), calls=ids, belongs_to_next=not ids)


def write_message(message: Mapping[str, Any], change: Change) -> Mapping[str, Any]:
    """Return a message with its texts changed; the same object where none is."""
    if message.get("role") == "assistant":
        return message
    is_output = "role" not in message and str(message.get("type", "")).endswith(_OUTPUTS)
    key = "output" if is_output else "content"
    if key not in message or not (is_output or "role" in message):
        return message
    new = map_content(message[key], change)
    return message if new is message[key] else {**message, key: new}


def _calls(message: Mapping[str, Any]) -> Iterator[str]:
    for call in message.get("tool_calls") or ():
        if isinstance(call, Mapping) and call.get("id"):
            yield str(call["id"])
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping):
        yield f"function {legacy.get('name')}"
    yield from block_calls(message.get("content"))


def block_calls(content: Any) -> Iterator[str]:
    """Yield the ids of the tool calls among blocks of content."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping) and block.get("type") in {"tool_use", "tool_call"}:
            yield str(block.get("id"))


def _answers(message: Mapping[str, Any]) -> Iterator[str]:
    if message.get("tool_call_id"):
        yield str(message["tool_call_id"])
    elif message["role"] == "function":
        yield f"function {message.get('name')}"
    yield from block_answers(message.get("content"))


def block_answers(content: Any) -> Iterator[str]:
    """Yield the ids of the tool calls that blocks of content answer."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "tool_result":
            yield str(block.get("tool_use_id"))
