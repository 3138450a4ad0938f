"""The events of a streamed message of Anthropic's."""

from collections.abc import Iterator, Sequence

from llmcost_plugins.testing.dialects.base import Event, JsonObject, encode_json, named_event
from llmcost_plugins.testing.dialects.replies import Reply

ENDING = named_event({"type": "message_stop"}).data
"""What a whole stream ends with."""

_LEFT_OUT_OF_DELTA = frozenset({"cache_creation", "service_tier"})
_LEFT_OUT_OF_START = frozenset({"output_tokens_details", "server_tool_use"})


def stream_events(message: JsonObject, reply: Reply) -> Iterator[Event]:
    """Yield the events that add up to a message; those of text and tool calls are its tokens."""
    usage = message["usage"]
    started = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            **{name: usage[name] for name in usage if name not in _LEFT_OUT_OF_START},
            "output_tokens": min(1, usage["output_tokens"]),
        },
    }
    yield named_event({"type": "message_start", "message": started})
    yield named_event({"type": "ping"})
    calls = iter(dict.fromkeys(p.call for p in reply.pieces if p.call is not None))
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            yield from _text(index, [p.text for p in reply.pieces if p.call is None])
        elif block["type"] == "tool_use":
            number = next(calls)
            arguments = [p.text for p in reply.pieces if p.call == number and not p.name]
            yield from _tool(index, block, arguments)
        else:
            yield from _other(index, block)
    yield named_event(
        {
            "type": "message_delta",
            "delta": {name: message[name] for name in ("stop_reason", "stop_sequence")},
            "usage": {name: usage[name] for name in usage if name not in _LEFT_OUT_OF_DELTA},
        }
    )


def _text(index: int, tokens: Sequence[str]) -> Iterator[Event]:
    yield _start(index, {"type": "text", "text": ""})
    for token in tokens:
        yield _delta(index, {"type": "text_delta", "text": token}, content=True)
    yield _stop(index)


def _tool(index: int, block: JsonObject, arguments: Sequence[str]) -> Iterator[Event]:
    yield _start(index, {**block, "input": {}}, content=True)
    for token in arguments:
        yield _delta(index, {"type": "input_json_delta", "partial_json": token}, content=True)
    yield _stop(index)


def _other(index: int, block: JsonObject) -> Iterator[Event]:
    """Send a block whose tokens are not seen: thinking, a search and its result."""
    if block["type"] == "thinking":
        yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        yield _delta(index, {"type": "thinking_delta", "thinking": block["thinking"]})
        yield _delta(index, {"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "server_tool_use":
        query = encode_json(block["input"]).decode()
        yield _start(index, {**block, "input": {}})
        yield _delta(index, {"type": "input_json_delta", "partial_json": query})
    else:
        yield _start(index, block)
    yield _stop(index)


def _start(index: int, block: JsonObject, *, content: bool = False) -> Event:
    start = {"type": "content_block_start", "index": index, "content_block": block}
    return named_event(start, content=content)


def _delta(index: int, delta: JsonObject, *, content: bool = False) -> Event:
    data = {"type": "content_block_delta", "index": index, "delta": delta}
    return named_event(data, content=content)


def _stop(index: int) -> Event:
    return named_event({"type": "content_block_stop", "index": index})
