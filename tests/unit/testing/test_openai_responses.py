import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.testing.dialects.responses_request import count_response_prompt
from tests.unit.testing.raw import post

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
}
CLOCK = {"type": "function", "name": "get_time", "parameters": None}
SEARCH = {"type": "web_search"}
FULL = Behavior(
    prompt_tokens=1000,
    completion_tokens=50,
    cached_tokens=400,
    cache_write_tokens=100,
    reasoning_tokens=20,
    web_searches=2,
)
FULL_NANO = 600 * 1250 + 400 * 125 + 50 * 10_000 + 2 * 10_000_000


def ask(client: openai.OpenAI, given: Any = "Hello there", /, **more: Any) -> Any:
    return client.responses.create(**{"model": "gpt-5", "input": given, **more})


def stream(client: openai.OpenAI, given: Any = "Hello there", /, **more: Any) -> list[Any]:
    request: dict[str, Any] = {"model": "gpt-5", "input": given, "stream": True, **more}
    with client.responses.create(**request) as events:
        return list(events)


def kinds(response: Any) -> list[str]:
    return [item.type for item in response.output]


def without_ids(response: Any) -> list[Any]:
    """Return the output without the ids, which differ from request to request."""
    items = [item.to_dict() for item in response.output]
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in items]


def test_the_default_answer_echoes_the_last_user_message(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    answer = ask(client, "grüß dich 🎉", instructions="Be brief.")
    assert answer.output_text == "You said: grüß dich 🎉"
    assert (answer.status, answer.model) == ("completed", "gpt-5-2025-08-07")
    [line] = provider.requests
    assert answer.usage.input_tokens == line.prompt_tokens == 4 + 3 + 4 + 4 + 3
    assert answer.usage.output_tokens == line.completion_tokens == 5
    assert line.cost_nano == 18 * 1250 + 5 * 10_000


def test_scripted_usage_is_reported_in_detail(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", FULL)
    answer = ask(client, tools=[SEARCH])
    assert answer.usage.model_dump() == {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 1050,
    }
    assert kinds(answer) == ["reasoning", "web_search_call", "web_search_call", "message"]
    assert {call.action.type for call in answer.output[1:3]} == {"search"}
    [line] = provider.requests
    assert (line.web_searches, line.reasoning_tokens) == (2, 20)
    assert line.cost_nano == FULL_NANO


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("Hello there", {}),
        ("Hello there", {"reasoning": {"summary": "auto"}}),
        ("use get_weather and get_time", {"tools": [WEATHER, CLOCK]}),
        ("Hello there, all of you", {"max_output_tokens": 21}),
    ],
)
def test_a_stream_adds_up_to_the_plain_answer(
    provider: SimulatedProvider, client: openai.OpenAI, text: str, more: dict[str, Any]
) -> None:
    provider.behave("*", Behavior(reasoning_tokens=19, web_searches=1))
    plain, events = ask(client, text, **more), stream(client, text, **more)
    last = events[-1]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert last.type == f"response.{plain.status}"
    assert without_ids(last.response) == without_ids(plain)
    assert last.response.usage == plain.usage
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == plain.output_text
    first, second = provider.requests
    assert first.cost_nano == second.cost_nano
    assert (first.streamed, second.streamed) == (False, True)


def test_the_sdks_stream_helper_understands_the_events(client: openai.OpenAI) -> None:
    helper = client.responses.stream(
        model="gpt-5",
        input="use get_weather of 'Bern'",
        tools=[WEATHER],  # type: ignore[list-item]
    )
    with helper as events:
        call: Any = events.get_final_response().output[0]
    assert json.loads(call.arguments) == {"city": "Bern", "days": 1}


def test_reasoning_is_summarised_and_encrypted_only_if_asked_for(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(reasoning_tokens=5))
    plain = ask(client).output[0]
    assert (plain.summary, plain.encrypted_content) == ([], None)
    more = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    full = ask(client, **more).output[0]
    assert full.summary[0].text
    assert full.encrypted_content


def test_a_cap_leaves_an_incomplete_answer(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(reasoning_tokens=14))
    answer = ask(client, max_output_tokens=16)
    assert answer.output_text == "You said:"
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert provider.requests[0].completion_tokens == 16
    provider.behave("*", Behavior(reasoning_tokens=40))
    assert kinds(ask(client, max_output_tokens=16)) == ["reasoning"]


@pytest.mark.parametrize(
    ("text", "tool_choice", "called"),
    [
        ("Hello", "auto", []),
        ("use get_weather", "auto", ["get_weather"]),
        ("get_time and get_weather", "auto", ["get_weather", "get_time"]),
        ("use get_weather", "none", []),
        ("Hello", "required", ["get_weather"]),
        ("Hello", {"type": "function", "name": "get_time"}, ["get_time"]),
        ("Hello", {"type": "web_search"}, []),
    ],
)
def test_tools_are_called_as_tool_choice_says(
    client: openai.OpenAI, text: str, tool_choice: object, called: list[str]
) -> None:
    answer = ask(client, text, tools=[WEATHER, CLOCK, SEARCH], tool_choice=tool_choice)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls] == called
    assert len({call.call_id for call in calls}) == len(called)
    one = ask(client, text, tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert len([item for item in one.output if item.type == "function_call"]) <= 1


def test_an_agent_ends_because_a_tool_result_is_answered_with_text(client: openai.OpenAI) -> None:
    call = ask(client, "use get_weather", tools=[WEATHER]).output[0]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    items = [{"role": "user", "content": "use get_weather"}, call.to_dict(), result]
    assert ask(client, items, tools=[WEATHER]).output_text == "You said: use get_weather"


class Weather(BaseModel):
    city: str
    days: int


def test_structured_outputs_parse(client: openai.OpenAI) -> None:
    answer = client.responses.parse(model="gpt-5", input="hi", text_format=Weather)
    assert answer.output_parsed == Weather(city="text", days=1)
    answer = ask(client, "say 'x'", text={"format": {"type": "json_object"}})
    assert json.loads(answer.output_text) == {"answer": "You said: say 'x'"}


@pytest.mark.parametrize(
    ("asked", "reported", "nano"),
    [
        ({}, "default", 10 * 1250 + 4 * 10_000),
        ({"service_tier": "auto"}, "default", 10 * 1250 + 4 * 10_000),
        ({"service_tier": "flex"}, "flex", 10 * 625 + 4 * 5000),
    ],
)
def test_the_tier_that_was_used_is_reported_and_billed(
    provider: SimulatedProvider,
    client: openai.OpenAI,
    asked: dict[str, Any],
    reported: str,
    nano: int,
) -> None:
    assert ask(client, **asked).service_tier == reported
    assert provider.billed_nano == nano


def test_a_scripted_tier_goes_before_the_one_that_was_asked_for(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(service_tier="priority"))
    assert ask(client, service_tier="flex").service_tier == "priority"
    assert provider.billed_nano == 10 * 2500 + 4 * 20_000


@pytest.mark.parametrize("streamed", [False, True])
def test_usage_can_be_withheld_and_is_billed_all_the_same(
    provider: SimulatedProvider, client: openai.OpenAI, streamed: bool
) -> None:
    provider.behave("*", Behavior(no_usage=True))
    answer = stream(client)[-1].response if streamed else ask(client)
    assert answer.usage is None
    assert provider.billed_nano == 10 * 1250 + 4 * 10_000


@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_a_cut_stream_bills_the_prompt_the_searches_the_reasoning_and_the_tokens_sent(
    provider: SimulatedProvider, client: openai.OpenAI, tools: list[Any]
) -> None:
    provider.behave("*", Behavior(cut_after=2, reasoning_tokens=5, web_searches=1))
    with pytest.raises(Exception, match="peer closed"):
        stream(client, "get_weather!", tools=tools)
    [line] = provider.settled()
    assert (line.outcome, line.completion_tokens, line.web_searches) == ("cut", 7, 1)
    assert line.cost_nano == line.prompt_tokens * 1250 + 7 * 10_000 + 10_000_000


def test_searches_without_a_price_are_refused(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("*", Behavior(web_searches=1))
    with pytest.raises(openai.BadRequestError, match="no price for the web searches"):
        ask(client, model="gpt-4o")
    assert provider.billed_nano == 0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"input": None}, "'input'"),
        ({"input": []}, "'input'"),
        ({"input": [{}]}, "'input'"),
        ({"max_output_tokens": 15}, "an integer >= 16"),
        ({"previous_response_id": "resp_1"}, "resp_1"),
        ({"tools": [{}]}, "'tools'"),
        ({"tools": [{"type": "function"}]}, "'tools'"),
        ({"tool_choice": "required"}, "'tool_choice'"),
        ({"tool_choice": "sometimes"}, "'tool_choice'"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "name": "x"}}, "not 'x'"),
        ({"text": {"format": {"type": "xml"}}}, "'text.format'"),
        ({"text": {"format": {"type": "json_schema"}}}, "'text.format.schema'"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    provider: SimulatedProvider, more: dict[str, Any], named: str
) -> None:
    body = {"model": "gpt-5", "input": "hi", **more}
    status, answer = post(provider, "/v1/responses", body, authorization="Bearer x")
    assert status == 400
    assert named in answer["error"]["message"]
    assert provider.billed_nano == 0


def test_the_whole_input_counts_into_the_prompt() -> None:
    def count(given: Any, **more: Any) -> int:
        return count_response_prompt({"input": given, **more})

    image = {"type": "input_image", "image_url": "u"}
    assert count([{"role": "user", "content": [image]}]) == 3 + 4 + 85
    assert count("four") == count([{"role": "user", "content": "four"}]) == 3 + 4 + 1
    assert count([{"type": "function_call_output", "output": "four"}]) == 3 + 4 + 1
    assert count("hi", tools=[WEATHER]) > count("hi") + 20
