"""The events of a streamed response of OpenAI's."""

from collections.abc import Iterator, Sequence
from itertools import count

from llmcost_plugins.testing.dialects.base import Event, JsonObject, named_event
from llmcost_plugins.testing.dialects.replies import Reply

_IN_PROGRESS = "in_progress"


class _Numbered(list[tuple[JsonObject, bool]]):
    """Events in the making: their data, and whether each is a token of the answer."""

    def put(self, kind: str, *, content: bool = False, **data: object) -> None:
        self.append(({"type": f"response.{kind}", "sequence_number": len(self), **data}, content))


def stream_events(response: JsonObject, reply: Reply) -> Iterator[Event]:
    """Yield all events but the last; those of text and function calls are the answer's tokens."""
    for data, content in _events(response, reply):
        yield named_event(data, content=content)


def ending_of(response: JsonObject, reply: Reply) -> bytes:
    """Return the last event of a whole stream."""
    number = len(_events(response, reply))
    data = {"type": f"response.{response['status']}", "sequence_number": number}
    return named_event({**data, "response": response}).data


def _events(response: JsonObject, reply: Reply) -> _Numbered:
    events, calls = _Numbered(), count()
    begun = {
        **response,
        "status": _IN_PROGRESS,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    events.put("created", response=begun)
    events.put("in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        if item["type"] == "message":
            _add_message(events, index, item, [p.text for p in reply.pieces if p.call is None])
        elif item["type"] == "function_call":
            number = next(calls)
            tokens = [p.text for p in reply.pieces if p.call == number and not p.name]
            _add_call(events, index, item, tokens)
        elif item["type"] == "reasoning":
            _add_reasoning(events, index, item)
        else:
            _add_search(events, index, item)
    return events


def _add_message(events: _Numbered, index: int, item: JsonObject, tokens: Sequence[str]) -> None:
    [part] = item["content"]
    begun = {**item, "status": _IN_PROGRESS, "content": []}
    events.put("output_item.added", output_index=index, item=begun)
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    events.put("content_part.added", **at, part={**part, "text": ""})
    for token in tokens:
        events.put("output_text.delta", content=True, **at, delta=token, logprobs=[])
    events.put("output_text.done", **at, text=part["text"], logprobs=[])
    events.put("content_part.done", **at, part=part)
    events.put("output_item.done", output_index=index, item=item)


def _add_call(events: _Numbered, index: int, item: JsonObject, tokens: Sequence[str]) -> None:
    begun = {**item, "status": _IN_PROGRESS, "arguments": ""}
    events.put("output_item.added", content=True, output_index=index, item=begun)
    at = {"item_id": item["id"], "output_index": index}
    for token in tokens:
        events.put("function_call_arguments.delta", content=True, **at, delta=token)
    whole = {"name": item["name"], "arguments": item["arguments"]}
    events.put("function_call_arguments.done", **at, **whole)
    events.put("output_item.done", output_index=index, item=item)


def _add_reasoning(events: _Numbered, index: int, item: JsonObject) -> None:
    events.put("output_item.added", output_index=index, item={**item, "summary": []})
    for number, part in enumerate(item["summary"]):
        at = {"item_id": item["id"], "output_index": index, "summary_index": number}
        events.put("reasoning_summary_part.added", **at, part={**part, "text": ""})
        events.put("reasoning_summary_text.delta", **at, delta=part["text"])
        events.put("reasoning_summary_text.done", **at, text=part["text"])
        events.put("reasoning_summary_part.done", **at, part=part)
    events.put("output_item.done", output_index=index, item=item)


def _add_search(events: _Numbered, index: int, item: JsonObject) -> None:
    begun = {"type": item["type"], "id": item["id"], "status": _IN_PROGRESS}
    events.put("output_item.added", output_index=index, item=begun)
    for state in (_IN_PROGRESS, "searching", "completed"):
        events.put(f"web_search_call.{state}", item_id=item["id"], output_index=index)
    events.put("output_item.done", output_index=index, item=item)
