import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.testing.dialects.anthropic_request import count_message_prompt
from tests.unit.testing.raw import post

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
SPENT: dict[str, Any] = {"prompt_tokens": 1000, "completion_tokens": 50}
FULL = Behavior(
    **SPENT,
    cached_tokens=400,
    cache_write_tokens=100,
    cache_write_1h_tokens=200,
    reasoning_tokens=20,
    web_searches=2,
)
FULL_NANO = 300 * 3000 + 400 * 300 + 100 * 3750 + 200 * 6000 + 50 * 15_000 + 2 * 10_000_000


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.root_url, api_key="x", max_retries=0) as connected:
        yield connected


def request(text: str = "Hello there", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-4-6", "max_tokens": 2000, "messages": messages, **more}


def ask(client: anthropic.Anthropic, text: str = "Hello there", **more: Any) -> Any:
    return client.messages.create(**request(text, **more))


def stream(client: anthropic.Anthropic, text: str = "Hello there", **more: Any) -> list[Any]:
    with client.messages.create(**request(text, **more), stream=True) as events:
        return list(events)


def said(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def content(block: Any) -> dict[str, Any]:
    """Return what a block says, without the ids that differ from request to request."""
    said = block.to_dict()
    return {key: value for key, value in said.items() if "id" not in key and key != "signature"}


def test_the_default_answer_echoes_the_last_user_message(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    answer = ask(client, "grüß dich 🎉", system="Be brief.")
    assert said(answer) == "You said: grüß dich 🎉"
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert answer.model == "claude-sonnet-4-6"
    [line] = provider.requests
    # 4 for each of two messages, 9 and 16 bytes / 4, 3 for the request
    assert answer.usage.input_tokens == line.prompt_tokens == 4 + 3 + 4 + 4 + 3
    assert answer.usage.output_tokens == line.completion_tokens == 5
    assert line.cost_nano == 18 * 3000 + 5 * 15_000


def test_scripted_usage_is_reported_as_the_real_api_does(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", FULL)
    answer = ask(client, tools=[SEARCH])
    assert answer.usage.model_dump(exclude_none=True) == {
        "input_tokens": 300,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "standard",
    }
    kinds = [block.type for block in answer.content]
    assert kinds == ["server_tool_use", "web_search_tool_result"] * 2 + ["text"]
    [line] = provider.requests
    assert (line.cache_write_5m_tokens, line.cache_write_1h_tokens) == (100, 200)
    assert (line.web_searches, line.reasoning_tokens) == (2, 20)
    assert line.cost_nano == FULL_NANO


def test_a_stream_bills_the_same_and_its_last_event_hides_the_lifetimes(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", FULL)
    events = stream(client, tools=[SEARCH])
    started, changed = events[0].message.usage, events[-2].usage
    assert [event.type for event in (events[0], *events[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    assert started.cache_creation.ephemeral_1h_input_tokens == 200
    assert (started.input_tokens, started.output_tokens) == (300, 1)
    assert changed.model_dump(exclude_none=True) == {
        "input_tokens": 300,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 300,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    assert provider.billed_nano == FULL_NANO


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("Hello there", {}),
        ("use get_weather and get_time", {"tools": [WEATHER, CLOCK]}),
        ("Hello", {"tools": [SEARCH]}),
        ("Hello", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
)
def test_a_stream_adds_up_to_the_plain_answer(
    provider: SimulatedProvider, client: anthropic.Anthropic, text: str, more: dict[str, Any]
) -> None:
    searches = 1 if SEARCH in more.get("tools", ()) else 0
    provider.behave("*", Behavior(reasoning_tokens=9, web_searches=searches))
    plain = ask(client, text, **more)
    with client.messages.stream(**request(text, **more)) as events:
        whole = events.get_final_message()
    assert [content(block) for block in whole.content] == [content(b) for b in plain.content]
    assert (whole.stop_reason, whole.usage.output_tokens) == (
        plain.stop_reason,
        plain.usage.output_tokens,
    )
    first, second = provider.requests
    assert first.cost_nano == second.cost_nano
    assert (first.streamed, second.streamed) == (False, True)


def test_thinking_is_shown_only_if_asked_for_and_billed_all_the_same(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", Behavior(reasoning_tokens=30))
    shown = ask(client, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in shown.content] == ["thinking", "text"]
    assert shown.content[0].signature
    hidden = ask(client)
    assert [block.type for block in hidden.content] == ["text"]
    assert [line.completion_tokens for line in provider.requests] == [34, 34]


def test_a_cap_truncates_the_answer_and_a_stop_sequence_ends_it(
    client: anthropic.Anthropic,
) -> None:
    capped = ask(client, max_tokens=2)
    assert (said(capped), capped.stop_reason) == ("You said:", "max_tokens")
    assert capped.usage.output_tokens == 2
    stopped = ask(client, stop_sequences=["?", " there"])
    assert (said(stopped), stopped.stop_reason) == ("You said: Hello", "stop_sequence")
    assert stopped.stop_sequence == " there"


def test_a_call_of_a_tool_that_the_cap_cuts_has_no_arguments(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    answer = ask(client, "use get_weather", tools=[WEATHER], max_tokens=2)
    assert answer.stop_reason == "max_tokens"
    assert (answer.content[0].name, answer.content[0].input) == ("get_weather", {})
    assert provider.requests[0].completion_tokens == 2


@pytest.mark.parametrize(
    ("text", "tool_choice", "called"),
    [
        ("Hello", {"type": "auto"}, []),
        ("use get_weather", {"type": "auto"}, ["get_weather"]),
        ("get_time and get_weather", {"type": "auto"}, ["get_weather", "get_time"]),
        (
            "get_time and get_weather",
            {"type": "auto", "disable_parallel_tool_use": True},
            ["get_weather"],
        ),
        ("use get_weather", {"type": "none"}, []),
        ("Hello", {"type": "any"}, ["get_weather"]),
        ("Hello", {"type": "tool", "name": "get_time"}, ["get_time"]),
    ],
)
def test_tools_are_called_as_tool_choice_says(
    client: anthropic.Anthropic, text: str, tool_choice: dict[str, Any], called: list[str]
) -> None:
    answer = ask(client, text, tools=[WEATHER, CLOCK], tool_choice=tool_choice)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.name for call in calls] == called
    assert answer.stop_reason == ("tool_use" if called else "end_turn")
    assert len({call.id for call in calls}) == len(called)


def test_the_arguments_of_a_tool_are_taken_from_what_the_user_says(
    client: anthropic.Anthropic,
) -> None:
    answer = ask(client, "get_weather of 'Zürich' for 3 days", tools=[WEATHER])
    assert answer.content[0].input == {"city": "Zürich", "days": 3}


def test_an_agent_ends_because_a_tool_result_is_answered_with_text(
    client: anthropic.Anthropic,
) -> None:
    calling = ask(client, "use get_weather", tools=[WEATHER])
    result = {"type": "tool_result", "tool_use_id": calling.content[0].id, "content": "sunny"}
    messages = [
        {"role": "user", "content": "use get_weather"},
        {"role": "assistant", "content": [block.to_dict() for block in calling.content]},
        {"role": "user", "content": [result]},
    ]
    answer = ask(client, messages=messages, tools=[WEATHER])
    assert said(answer) == "You said: use get_weather"


def test_a_format_of_the_output_is_followed(client: anthropic.Anthropic) -> None:
    wanted = {"type": "json_schema", "schema": WEATHER["input_schema"]}
    answer = ask(client, output_config={"format": wanted})
    assert json.loads(said(answer)) == {"city": "text", "days": 1}


def test_withheld_usage_is_reported_as_zeros_and_billed_all_the_same(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", Behavior(no_usage=True))
    usage = ask(client).usage
    assert (usage.input_tokens, usage.output_tokens) == (0, 0)
    assert stream(client)[-2].usage.output_tokens == 0
    assert provider.billed_nano == 2 * (10 * 3000 + 4 * 15_000)


def test_a_cut_stream_bills_the_prompt_the_searches_the_thinking_and_the_tokens_sent(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", Behavior(**SPENT, cut_after=3, reasoning_tokens=5, web_searches=1))
    seen: list[str] = []
    with (
        pytest.raises(Exception, match="peer closed"),
        client.messages.create(**request(), stream=True) as events,
    ):
        seen.extend(
            e.delta.text for e in events if e.type == "content_block_delta" and e.index == 2
        )
    assert "".join(seen) == "You said: Hello"
    [line] = provider.settled()
    assert (line.outcome, line.completion_tokens, line.web_searches) == ("cut", 8, 1)
    assert line.cost_nano == 1000 * 3000 + 8 * 15_000 + 10_000_000


def test_another_tier_is_reported_and_billed_at_the_standard_price(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", Behavior(service_tier="priority"))
    assert ask(client).usage.service_tier == "priority"
    assert provider.requests[0].service_tier == "priority"
    assert provider.billed_nano == 10 * 3000 + 4 * 15_000


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.APIStatusError),  # InternalServerError from 1.0 on
    ],
)
def test_scripted_errors_arrive_as_the_clients_own_and_bill_nothing(
    provider: SimulatedProvider,
    client: anthropic.Anthropic,
    status: int,
    kind: str,
    error: type[anthropic.APIStatusError],
) -> None:
    provider.behave("*", Behavior(status=status))
    with pytest.raises(error) as caught:
        ask(client)
    body = {"type": kind, "message": f"Simulated error {status}."}
    assert caught.value.body == {"type": "error", "error": body}
    assert provider.billed_nano == 0


@pytest.mark.parametrize(
    ("headers", "status", "named"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "x-api-key header is required"),
        ({"x-api-key": "x"}, 400, "anthropic-version"),
    ],
)
def test_a_key_and_a_version_are_required(
    provider: SimulatedProvider, headers: dict[str, str], status: int, named: str
) -> None:
    got, body = post(provider, "/v1/messages", request(), **headers)
    assert (got, body["type"]) == (status, "error")
    assert named in body["error"]["message"]


def test_the_key_is_not_kept(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    ask(client)
    assert "x-api-key" not in provider.requests[0].headers


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"messages": []}, "messages: at least one"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop_sequences": [" "]}, "stop_sequences"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "a"}]}, "tools.0.input_schema"),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        ({"tools": [CLOCK], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tools": [CLOCK], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
        (
            {
                "tools": [CLOCK],
                "tool_choice": {"type": "any"},
                "thinking": {"type": "enabled", "budget_tokens": 1024},
            },
            "Thinking may not be enabled",
        ),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"model": "claude-9"}, "claude-9"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    provider: SimulatedProvider, more: dict[str, Any], named: str
) -> None:
    headers = {"x-api-key": "x", "anthropic-version": "2023-06-01"}
    status, body = post(provider, "/v1/messages", request(**more), **headers)
    assert status == (404 if "model" in more else 400)
    assert named in body["error"]["message"]
    assert provider.billed_nano == 0


def test_a_behavior_that_cannot_be_reported_is_refused(
    provider: SimulatedProvider, client: anthropic.Anthropic
) -> None:
    provider.behave("*", Behavior(tool_prompt_tokens=3))
    with pytest.raises(anthropic.BadRequestError, match=r"no way to report .*tool_prompt_tokens"):
        ask(client)


@pytest.mark.parametrize("text", ["a", "four", "ünïcödé 🎉" * 20, "\ud83d lone"])
def test_a_prompt_has_at_most_its_bytes_and_64_tokens_per_message(text: str) -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "1",
        "content": [{"type": "text", "text": text}],
    }
    parts = [{"type": "text", "text": text}, result]
    messages = [{"role": "user", "content": content} for content in (text, parts)]
    size = 4 * len(text.encode("utf-8", "surrogatepass"))
    assert count_message_prompt({"system": text, "messages": messages}) <= size + 64 * 3


def test_images_tools_and_calls_count_into_the_prompt() -> None:
    def count(content: Any, **more: Any) -> int:
        return count_message_prompt({"messages": [{"role": "user", "content": content}], **more})

    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    assert count([image]) == 3 + 4 + 85
    assert count([{"type": "tool_result", "tool_use_id": "1", "content": [image]}]) == 3 + 4 + 85
    assert count("hi", tools=[WEATHER]) > count("hi") + 20
    call = {"type": "tool_use", "id": "1", "name": "get_weather", "input": {"city": "Bern"}}
    assert count([call]) > count("hi") + 5
