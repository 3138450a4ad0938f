"""Every kind of answer comes back from the cache as it was, whole and as a stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain._answers import chunks_of, entry_of, generations_of
from llmcost_langchain._requests import request_of
from llmcost_plugins.cache.entries import pack, unpack
from llmcost_plugins.cache.keys import request_key
from llmcost_plugins.testing.ledger_contract import NOON

USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 3},
    "output_token_details": {"reasoning": 2},
}
CALL = {"name": "f", "args": {"x": [1, None, "é"]}, "id": "call_1", "type": "tool_call"}
KINDS: dict[str, dict[str, Any]] = {
    "text": {"content": "Zoë says hi, at some length, more than one piece of it"},
    "nothing": {"content": ""},
    "tool calls": {"content": "", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
    "a call that does not parse": {
        "content": "",
        "invalid_tool_calls": [
            {"name": "f", "args": "no json", "id": "1", "error": "no", "type": "invalid_tool_call"}
        ],
    },
    "reasoning": {
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "text", "text": "hi"},
        ]
    },
    "image": {"content": [{"type": "image", "base64": "aGk=" * 3000, "mime_type": "image/png"}]},
    "audio": {
        "content": "",
        "additional_kwargs": {"audio": {"id": "a", "data": "aGk=", "transcript": "hi"}},
    },
    "citations": {
        "content": [
            {
                "type": "text",
                "text": "the moon",
                "annotations": [{"type": "url_citation", "url": "https://x.test", "title": "t"}],
            }
        ]
    },
    "refusal": {"content": "", "additional_kwargs": {"refusal": None}},
}
METADATA = {"model_name": "gpt-4o-2024-08-06", "finish_reason": "stop", "logprobs": None}


def message(kind: str) -> AIMessage:
    return AIMessage(**KINDS[kind], response_metadata=METADATA, usage_metadata=USAGE, id="run-1")


def unmarked(one: Any) -> dict[str, Any]:
    fields: dict[str, Any] = one.model_dump(exclude={"id", "type", "chunk_position"})
    del fields["response_metadata"]["llmcost_cache"]
    return fields


def through_disk(*generations: ChatGeneration) -> Any:
    return unpack("key", pack("key", entry_of(generations, NOON)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_comes_back_as_it_was(kind: str) -> None:
    stored = message(kind)
    (found,) = generations_of(through_disk(ChatGeneration(message=stored)))
    assert isinstance(found, ChatGeneration)
    assert isinstance(found.message, AIMessage)
    assert unmarked(found.message) == stored.model_dump(exclude={"id", "type"})
    assert found.message.id is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_streamed_as_it_was(kind: str) -> None:
    stored = message(kind)
    chunks = list(chunks_of(through_disk(ChatGeneration(message=stored)), "new"))
    whole = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == stored.content
    assert whole.tool_calls == stored.tool_calls
    wrong = [(call["name"], call["args"]) for call in whole.invalid_tool_calls]
    assert wrong == [(call["name"], call["args"]) for call in stored.invalid_tool_calls]
    assert whole.usage_metadata == stored.usage_metadata
    assert unmarked(whole)["response_metadata"] == METADATA
    assert whole.additional_kwargs == stored.additional_kwargs
    assert whole.chunk_position == "last"


def test_all_choices_come_back() -> None:
    choices = [ChatGeneration(message=message(kind)) for kind in ("text", "nothing", "text")]
    found = generations_of(through_disk(*choices))
    assert [one.text for one in found] == [one.text for one in choices]


@given(
    st.lists(st.text(max_size=30), max_size=5),
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=3),
)
def test_the_sum_of_a_stream_comes_back_as_it_was(texts: list[str], calls: list[Any]) -> None:
    parts = [AIMessageChunk(content=text, id="run-1") for text in texts]
    for index, args in enumerate(calls):
        text = json.dumps(args, indent=1)
        for part, name in ((text[:3], "f"), (text[3:], None)):
            call = tool_call_chunk(
                name=name, args=part, id=f"call-{index}" if name else None, index=index
            )
            parts.append(AIMessageChunk(content="", tool_call_chunks=[call], id="run-1"))
    parts.append(
        AIMessageChunk(
            content="",
            usage_metadata=USAGE,  # type: ignore[arg-type]  # a TypedDict
            response_metadata=METADATA,
            chunk_position="last",
            id="run-1",
        )
    )
    original: Any = parts[0] + parts[1:] if len(parts) > 1 else parts[0]
    chunks = list(chunks_of(through_disk(ChatGeneration(message=original)), "new"))
    replayed: Any = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    assert unmarked(replayed) == original.model_dump(exclude={"id", "type", "chunk_position"})


MODEL = ChatOpenAI(model="gpt-4o", api_key=SecretStr("one"), base_url="http://x.test/v1")
PROMPT = [SystemMessage("be brief"), HumanMessage("hello", id="h1")]


def key(model: ChatOpenAI = MODEL, prompt: Any = PROMPT, stop: Any = None, **said: Any) -> str:
    return request_key(request_of(model, prompt, stop, said), "")


@pytest.mark.parametrize(
    "changed",
    [
        {"api_key": SecretStr("two")},
        {"timeout": 3},
        {"max_retries": 9},
        {"default_headers": {"a": "b"}},
        {"tags": ["t"]},
        {"metadata": {"run": 7}},
        {"stream_usage": True},
        {"verbose": True},
        {"temperature": None},
    ],
    ids=str,
)
def test_who_asks_and_how_has_no_part_in_the_key(changed: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"model": "gpt-4o", "api_key": SecretStr("one")}
    model = ChatOpenAI(**{**facts, "base_url": "http://x.test/v1", **changed})
    assert key(model) == key()


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "gpt-4o-mini"},
        {"base_url": "http://y.test/v1"},
        {"temperature": 0.5},
        {"temperature": 0},
        {"seed": 1},
        {"n": 2},
        {"max_tokens": 7},
        {"top_p": 0.5},
        {"extra_body": {"a": 1}},
        {"stop": ["x"]},
        {"logit_bias": {1: 2}},
        {"service_tier": "flex"},
        {"model_kwargs": {"user": "u"}},
    ],
    ids=str,
)
def test_what_changes_the_answer_changes_the_key(changed: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"model": "gpt-4o", "api_key": SecretStr("one")}
    model = ChatOpenAI(**{**facts, "base_url": "http://x.test/v1", **changed})
    assert key(model) != key()


def test_what_a_call_says_changes_the_key() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}]
    other = [{"type": "function", "function": {"name": "f", "parameters": {"a": 2}}}]
    keys = [
        key(),
        key(stop=["x"]),
        key(temperature=0.1),
        key(eos_token="x"),
        key(tools=tools),
        key(tools=other),
        key(tools=tools, tool_choice="f"),
        key(response_format={"type": "json_object"}),
        key(extra_body={"a": 1}),
        key(prompt=[*PROMPT, HumanMessage("more")]),
        key(prompt=[PROMPT[1], PROMPT[0]]),
        key(prompt=[SystemMessage("hello"), HumanMessage("be brief")]),
    ]
    assert len(set(keys)) == len(keys)


def test_ids_and_what_an_answer_says_of_itself_have_no_part_in_the_key() -> None:
    def history(run: str) -> list[Any]:
        said = AIMessage(
            [{"type": "text", "text": "hi", "id": f"lc_{run}"}],
            id=run,
            response_metadata={"id": run, "created": run},
            usage_metadata={"input_tokens": len(run), "output_tokens": 1, "total_tokens": 9},
        )
        return [HumanMessage("hello", id=run), said, HumanMessage("more", id=run)]

    assert key(prompt=history("a")) == key(prompt=history("bcd"))
