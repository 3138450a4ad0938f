from typing import Any

import pytest

from llmcost_plugins.reported.events import Events, answer_bytes, is_usage_alone
from llmcost_plugins.usage import Usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class Hostile:
    """An object that refuses to be asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def read(*events: object) -> tuple[list[int], Usage | None, str]:
    found = Events()
    sizes = [found.add(event) for event in events]
    return sizes, found.usage_of(None), found.served


def test_chunks_of_chat_are_counted_by_what_they_add() -> None:
    sizes, usage, served = read(
        {"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"model": "m", "choices": [{"delta": {"content": "hé"}}, {"delta": {"content": "a"}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]},
        {"choices": [], "usage": USAGE},
    )
    assert sizes == [0, 4, 2, 0]
    assert usage == Usage(input=10, output=5)
    assert served == "m"


def test_the_same_chunk_in_several_events_of_a_helper_counts_once() -> None:
    chunk = {"model": "m", "choices": [{"delta": {"content": "abc"}}], "usage": USAGE}
    sizes, usage, _ = read(
        {"type": "chunk", "chunk": chunk},
        {"type": "content.delta", "delta": "abc", "snapshot": "abc"},
        {"type": "content.done", "content": "abc"},
    )
    assert sizes == [3, 0, 0]
    assert usage == Usage(input=10, output=5)


def test_the_usage_of_messages_is_put_together_from_start_and_end() -> None:
    start = {
        "input_tokens": 8,
        "output_tokens": 1,
        "cache_creation_input_tokens": 4,
        "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 0},
    }
    begun = {"type": "message_start", "message": {"model": "claude", "usage": start}}
    events = Events()
    events.add(begun)
    assert events.lacks_end
    sizes, usage, served = read(
        begun,
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abc"}},
        {"type": "text", "text": "abc", "snapshot": "abc"},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9, "input_tokens": None}},
    )
    assert sizes == [0, 3, 0, 0]
    assert usage == Usage(input=8, output=9, cache_write_1h=4)
    assert served == "claude"


def test_the_last_event_of_a_response_reports() -> None:
    report = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    sizes, usage, served = read(
        {"type": "response.created", "response": {"model": "gpt", "usage": None}},
        {"type": "response.output_text.delta", "delta": "ab"},
        {"type": "response.output_text.done", "text": "ab"},
        {"type": "response.incomplete", "response": {"model": "gpt", "usage": report}},
    )
    assert sizes == [0, 2, 0, 0]
    assert usage == Usage(input=3, output=2)
    assert served == "gpt"


@pytest.mark.parametrize(
    "event", [None, 5, b"x", [], {}, {"choices": 5}, {"usage": "x"}, {"delta": 7}]
)
def test_what_is_no_event_adds_nothing_and_raises_nothing(event: object) -> None:
    sizes, usage, served = read(event)
    assert (sizes, usage, served) == ([0], None, "")
    assert answer_bytes(event) == 0
    assert not is_usage_alone(event)


def test_an_object_that_refuses_to_be_asked_adds_nothing() -> None:
    assert read(Hostile()) == ([0], None, "")
    assert not is_usage_alone(Hostile())


def test_texts_of_a_decorated_generator_count_by_their_bytes() -> None:
    assert read("hé")[0] == [3]


def test_the_texts_of_whole_answers_are_counted() -> None:
    assert answer_bytes("abc") == 3
    assert answer_bytes({"choices": [{"message": {"role": "assistant", "content": "abc"}}]}) == 3
    assert answer_bytes({"content": [{"type": "text", "text": "abc"}]}) == 3
