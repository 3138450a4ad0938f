import json
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.testing.dialects.chat_prompt import count_chat_prompt

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


def ask(client: openai.OpenAI, text: str = "Hello there", **more: Any) -> ChatCompletion:
    messages = [{"role": "user", "content": text}]
    request: dict[str, Any] = {"model": "gpt-4o", "messages": messages, **more}
    answer = client.chat.completions.create(**request)
    assert isinstance(answer, ChatCompletion)
    return answer


def stream(client: openai.OpenAI, text: str = "Hello there", **more: Any) -> list[Any]:
    messages = [{"role": "user", "content": text}]
    request: dict[str, Any] = {"model": "gpt-4o", "messages": messages, "stream": True, **more}
    with client.chat.completions.create(**request) as chunks:
        return list(chunks)


def said(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def test_the_default_answer_echoes_the_last_user_message(client: openai.OpenAI) -> None:
    answer = ask(client, "grüß dich 🎉")
    assert answer.choices[0].message.content == "You said: grüß dich 🎉"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o-2024-08-06"


def test_usage_is_reported_and_billed_alike(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    usage = ask(client).usage
    [line] = provider.requests
    assert usage is not None
    # 4 for the message, 11 bytes / 4, 3 for the request; "You", " said:", " Hello", " there"
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 4, 14)
    assert (line.prompt_tokens, line.completion_tokens) == (10, 4)
    assert line.cost_nano == provider.billed_nano == 10 * 2500 + 4 * 10_000


def test_scripted_tokens_are_reported_in_detail(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave(
        "gpt-4o",
        Behavior(
            prompt_tokens=1000,
            cached_tokens=400,
            cache_write_tokens=100,
            completion_tokens=50,
            reasoning_tokens=20,
        ),
    )
    answer = ask(client)
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {
            "cached_tokens": 400,
            "audio_tokens": 0,
            "cache_write_tokens": 100,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 20,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert provider.requests[0].reasoning_tokens == 20
    assert provider.billed_nano == 600 * 2500 + 400 * 1250 + 50 * 10_000


def test_cached_tokens_that_exceed_the_prompt_are_a_400(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(cached_tokens=1000))
    with pytest.raises(openai.BadRequestError, match="set prompt_tokens too"):
        ask(client)


def test_a_stream_says_and_bills_what_the_plain_answer_does(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    plain = ask(client)
    chunks = stream(client, stream_options={"include_usage": True})
    assert said(chunks) == plain.choices[0].message.content
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == plain.usage
    assert chunks[-1].choices == []
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    first, second = provider.requests
    assert (first.streamed, second.streamed) == (False, True)
    assert first.cost_nano == second.cost_nano
    assert second.outcome == "complete"


def test_a_stream_has_one_chunk_for_each_token(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(completion_tokens=30, reasoning_tokens=10))
    chunks = stream(client)
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == 20
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("streamed", [False, True])
def test_usage_can_be_withheld_and_is_billed_all_the_same(
    provider: SimulatedProvider, client: openai.OpenAI, streamed: bool
) -> None:
    provider.behave("gpt-4o", Behavior(no_usage=True))
    if streamed:
        chunks = stream(client, stream_options={"include_usage": True})
        assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    else:
        assert ask(client).usage is None
    assert provider.billed_nano == 10 * 2500 + 4 * 10_000


@pytest.mark.parametrize("parameter", ["max_tokens", "max_completion_tokens"])
def test_an_output_cap_truncates_the_answer(client: openai.OpenAI, parameter: str) -> None:
    cap: dict[str, Any] = {parameter: 2}
    answer = ask(client, **cap)
    assert answer.choices[0].message.content == "You said:"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_an_output_cap_truncates_scripted_tokens_and_reasoning_first(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(content="a b c", completion_tokens=90, reasoning_tokens=80))
    answer = ask(client, max_completion_tokens=82)
    assert answer.choices[0].message.content == "a b"
    assert provider.requests[0].completion_tokens == 82
    answer = ask(client, max_completion_tokens=50)
    assert answer.choices[0].message.content == ""
    assert answer.choices[0].finish_reason == "length"
    assert (provider.requests[1].completion_tokens, provider.requests[1].reasoning_tokens) == (
        50,
        50,
    )


def test_every_choice_is_counted(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    answer = ask(client, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert provider.requests[0].completion_tokens == 12
    chunks = stream(client, n=3)
    assert {said(chunks, index) for index in range(3)} == {"You said: Hello there"}
    assert provider.requests[1].completion_tokens == 12


@pytest.mark.parametrize("stop", [" there", ["?", " the"]])
def test_an_answer_ends_before_a_stop_sequence(
    provider: SimulatedProvider, client: openai.OpenAI, stop: str | list[str]
) -> None:
    assert ask(client, stop=stop).choices[0].message.content == "You said: Hello"
    assert provider.requests[0].completion_tokens == 3


@pytest.mark.parametrize(
    ("text", "tool_choice", "called", "reason"),
    [
        ("Hello", "auto", [], "stop"),
        ("use get_weather", "auto", ["get_weather"], "tool_calls"),
        ("get_time and get_weather", "auto", ["get_weather", "get_time"], "tool_calls"),
        ("use get_weather", "none", [], "stop"),
        ("Hello", "required", ["get_weather"], "tool_calls"),
        ("use get_time", "required", ["get_time"], "tool_calls"),
        ("Hello", {"type": "function", "function": {"name": "get_time"}}, ["get_time"], "stop"),
    ],
)
def test_tools_are_called_as_tool_choice_says(
    client: openai.OpenAI, text: str, tool_choice: object, called: list[str], reason: str
) -> None:
    [choice] = ask(client, text, tools=[WEATHER, CLOCK], tool_choice=tool_choice).choices
    calls: list[Any] = list(choice.message.tool_calls or [])
    assert [call.function.name for call in calls] == called
    assert choice.finish_reason == reason
    assert len({call.id for call in calls}) == len(called)


def test_tool_arguments_follow_the_schema_and_stream_alike(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    plain: Any = ask(client, "use get_weather", tools=[WEATHER]).choices[0].message
    assert plain.content is None
    assert json.loads(plain.tool_calls[0].function.arguments) == {"city": "text", "days": 1}
    chunks = stream(client, "use get_weather", tools=[WEATHER])
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].id
    assert [delta.function.name for delta in deltas] == ["get_weather"] + [None] * (len(deltas) - 1)
    assert "".join(delta.function.arguments for delta in deltas) == (
        plain.tool_calls[0].function.arguments
    )
    assert provider.requests[0].completion_tokens == len(deltas)
    assert provider.requests[0].cost_nano == provider.requests[1].cost_nano


def test_an_agent_ends_because_a_tool_result_is_answered_with_text(client: openai.OpenAI) -> None:
    calling = ask(client, "use get_weather", tools=[WEATHER]).choices[0].message
    messages = [
        {"role": "user", "content": "use get_weather"},
        calling.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": "x", "content": "sunny"},
    ]
    answer = ask(client, messages=messages, tools=[WEATHER]).choices[0]
    assert answer.message.tool_calls is None
    assert answer.message.content == "You said: use get_weather"


def test_parallel_calls_can_be_forbidden(client: openai.OpenAI) -> None:
    text, tools = "get_time and get_weather", [WEATHER, CLOCK]
    message = ask(client, text, tools=tools, parallel_tool_calls=False).choices[0].message
    assert message.tool_calls is not None
    assert len(message.tool_calls) == 1


class Leaf(BaseModel):
    kind: Literal["leaf"]
    score: float


class Node(BaseModel):
    name: str
    children: list["Node | Leaf"]
    note: str | None


def test_structured_outputs_parse_even_when_recursive(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=[{"role": "user", "content": "hi"}], response_format=Node
    )
    assert answer.choices[0].message.parsed is not None
    assert len(answer.choices[0].message.parsed.children) == 1


def test_a_json_object_is_one(client: openai.OpenAI) -> None:
    content = ask(client, 'say "hi"', response_format={"type": "json_object"}).choices[0].message
    assert json.loads(content.content or "") == {"answer": 'You said: say "hi"'}


def test_scripted_content_goes_before_tools_and_schemas(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(content="no", finish_reason="content_filter"))
    [choice] = ask(client, tools=[WEATHER], tool_choice="required").choices
    assert (choice.message.content, choice.message.tool_calls) == ("no", None)
    assert choice.finish_reason == "content_filter"


def test_the_service_tier_is_echoed_unless_scripted(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    assert ask(client).service_tier is None
    assert ask(client, service_tier="flex").service_tier == "flex"
    assert ask(client, service_tier="auto").service_tier == "default"
    provider.behave("*", Behavior(service_tier="priority"))
    assert ask(client, service_tier="auto").service_tier == "priority"
    assert stream(client)[0].service_tier == "priority"


def test_a_tier_is_billed_at_its_own_price_where_it_has_one(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    ask(client, service_tier="priority")
    ask(client, service_tier="flex")
    priority, flex = provider.requests
    assert (priority.service_tier, priority.cost_nano) == ("priority", 10 * 4250 + 4 * 17_000)
    assert (flex.service_tier, flex.cost_nano) == ("flex", 10 * 2500 + 4 * 10_000)


@pytest.mark.parametrize("special", ["web_searches", "tool_prompt_tokens", "cache_write_1h_tokens"])
def test_a_behavior_that_cannot_be_reported_is_refused(
    provider: SimulatedProvider, client: openai.OpenAI, special: str
) -> None:
    wanted: dict[str, Any] = {special: 1}
    provider.behave("*", Behavior(**wanted))
    with pytest.raises(openai.BadRequestError, match=f"no way to report the behavior '{special}'"):
        ask(client)


def test_a_json_object_has_the_keys_that_are_asked_for(client: openai.OpenAI) -> None:
    text = "A joke as JSON with 'setup' and 'punchline' keys"
    content = ask(client, text, response_format={"type": "json_object"}).choices[0].message.content
    assert list(json.loads(content or "")) == ["setup", "punchline"]


def test_another_served_model_is_answered_and_billed(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(served_model="gpt-4o-mini-2024-07-18"))
    assert ask(client).model == "gpt-4o-mini-2024-07-18"
    [line] = provider.requests
    assert (line.model, line.served_model) == ("gpt-4o", "gpt-4o-mini-2024-07-18")
    assert line.cost_nano == 10 * 150 + 4 * 600


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"messages": []}, "'messages'"),
        ({"messages": ["hi"]}, "'messages'"),
        ({"messages": None}, "Missing required parameter: 'messages'"),
        ({"max_tokens": 0}, "'max_tokens'"),
        ({"max_completion_tokens": "5"}, "'max_completion_tokens'"),
        ({"n": 129}, "'n'"),
        ({"stop": [""]}, "'stop'"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"tool_choice": "required"}, "only allowed when 'tools'"),
        ({"tools": [{"type": "function"}]}, "'tools'"),
        ({"tools": [CLOCK], "tool_choice": "sometimes"}, "'tool_choice'"),
        ({"tools": [CLOCK], "tool_choice": WEATHER}, "not 'get_weather'"),
        ({"response_format": {"type": "xml"}}, "'response_format'"),
        ({"response_format": {"type": "json_schema"}}, "'response_format.json_schema'"),
        ({"messages": [{"role": "user", "tool_calls": 5}]}, "wrong type"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    provider: SimulatedProvider, client: openai.OpenAI, more: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, **more)
    assert named in str(refusal.value)
    [line] = provider.requests
    assert (line.status_code, line.outcome, line.cost_nano) == (400, "error", 0)


@pytest.mark.parametrize("text", ["", "a", "four", "ünïcödé 🎉" * 20, "\ud83d lone"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_prompt_has_at_most_its_bytes_and_64_tokens_per_message(text: str, count: int) -> None:
    parts = [{"type": "text", "text": text}, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content} for content in (text, parts)] * count
    size = 3 * count * len(text.encode("utf-8", "surrogatepass"))
    assert count_chat_prompt({"messages": messages}) <= size + 64 * len(messages)


def test_images_tools_and_schemas_count_into_the_prompt() -> None:
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}
    assert count_chat_prompt({"messages": [message]}) == 3 + 4 + 85
    plain: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    base = count_chat_prompt(plain)
    assert count_chat_prompt({**plain, "tools": [WEATHER]}) > base + 20
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert count_chat_prompt({**plain, "response_format": schema}) > base
