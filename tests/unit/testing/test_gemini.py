import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.testing.dialects.gemini_request import count_content_prompt
from tests.unit.testing.raw import post, send

MODEL = "gemini-2.5-flash"
PATH = f"/v1beta/models/{MODEL}:generateContent"
STREAM_PATH = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
KEY = {"x-goog-api-key": "x"}
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER"}},
    },
}
CLOCK = {"name": "get_time"}
TOOLS = [{"functionDeclarations": [WEATHER, CLOCK]}]
FULL = Behavior(
    prompt_tokens=1000,
    completion_tokens=50,
    cached_tokens=400,
    reasoning_tokens=20,
    tool_prompt_tokens=30,
)


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=provider.root_url)
    with genai.Client(api_key="x", http_options=options) as connected:
        yield connected


def contents(text: str = "Hello there") -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"text": text}]}]


def ask(provider: SimulatedProvider, text: str = "Hello there", **more: Any) -> Any:
    status, answer = post(provider, PATH, {"contents": contents(text), **more}, **KEY)
    assert status == 200, answer
    return answer


def stream(provider: SimulatedProvider, text: str = "Hello there", **more: Any) -> list[Any]:
    _, answer = send(provider, STREAM_PATH, {"contents": contents(text), **more}, **KEY)
    return [json.loads(event.removeprefix("data: ")) for event in answer.split("\r\n\r\n") if event]


def parts(answer: Any) -> list[Any]:
    found: list[Any] = answer["candidates"][0]["content"]["parts"]
    return found


def said(*answers: Any) -> str:
    return "".join(part.get("text", "") for answer in answers for part in parts(answer))


def test_the_sdk_gets_an_echo_and_what_it_used(
    provider: SimulatedProvider, client: genai.Client
) -> None:
    answer = client.models.generate_content(
        model=MODEL,
        contents="grüß dich 🎉",
        config=types.GenerateContentConfig(system_instruction="Be brief."),
    )
    assert answer.text == "You said: grüß dich 🎉"
    assert answer.model_version == MODEL
    usage, [line] = answer.usage_metadata, provider.requests
    assert usage is not None
    assert usage.prompt_token_count == line.prompt_tokens == 4 + 3 + 4 + 4 + 3
    assert usage.candidates_token_count == line.completion_tokens == 5
    assert usage.total_token_count == 23
    assert (line.model, line.streamed) == (MODEL, False)
    assert line.cost_nano == 18 * 300 + 5 * 2500


def test_the_sdk_streams(provider: SimulatedProvider, client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="Hello there"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: Hello there"
    [line] = provider.requests
    assert (line.streamed, line.outcome, line.completion_tokens) == (True, "complete", 4)


def test_the_sdk_parses_a_structured_answer(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=list[int]
    )
    answer = client.models.generate_content(model=MODEL, contents="hi", config=config)
    parsed: Any = answer.parsed
    assert parsed == [1]


def test_scripted_usage_is_reported_as_the_real_api_does(provider: SimulatedProvider) -> None:
    provider.behave("*", FULL)
    assert ask(provider)["usageMetadata"] == {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 400,
        "toolUsePromptTokenCount": 30,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 1080,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}],
    }
    [line] = provider.requests
    assert (line.prompt_tokens, line.completion_tokens) == (1030, 50)
    assert line.cost_nano == 630 * 300 + 400 * 30 + 50 * 2500


def test_searches_are_paid_once_and_their_results_are_free(provider: SimulatedProvider) -> None:
    searched = Behavior(prompt_tokens=100, web_searches=2, tool_prompt_tokens=30)
    provider.behave("*", searched)
    answer = ask(provider, tools=[{"googleSearch": {}}])
    grounding = answer["candidates"][0]["groundingMetadata"]
    assert grounding["webSearchQueries"] == ["query 1", "query 2"]
    assert answer["usageMetadata"]["promptTokenCount"] == 100
    assert answer["usageMetadata"]["toolUsePromptTokenCount"] == 30
    [line] = provider.requests
    assert (line.prompt_tokens, line.web_searches) == (100, 2)
    assert line.cost_nano == 100 * 300 + 4 * 2500 + 35_000_000


def test_every_chunk_of_a_stream_reports_what_was_used_so_far(provider: SimulatedProvider) -> None:
    provider.behave("*", Behavior(prompt_tokens=100, reasoning_tokens=7))
    chunks = stream(provider)
    reports = [chunk["usageMetadata"] for chunk in chunks]
    assert [report.get("candidatesTokenCount", 0) for report in reports] == [1, 2, 3, 4, 4]
    assert {report["thoughtsTokenCount"] for report in reports} == {7}
    assert {report["promptTokenCount"] for report in reports} == {100}
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * 4 + ["STOP"]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("Hello there", {}),
        ("use get_weather and get_time", {"tools": TOOLS}),
        ("Hello there", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}),
    ],
)
def test_a_stream_adds_up_to_the_plain_answer(
    provider: SimulatedProvider, text: str, more: dict[str, Any]
) -> None:
    provider.behave("*", Behavior(reasoning_tokens=9))
    plain, chunks = ask(provider, text, **more), stream(provider, text, **more)
    assert said(*chunks) == said(plain)
    calls = [part for chunk in chunks for part in parts(chunk) if "functionCall" in part]
    assert calls == [part for part in parts(plain) if "functionCall" in part]
    assert chunks[-1]["usageMetadata"] == plain["usageMetadata"]
    first, second = provider.requests
    assert first.cost_nano == second.cost_nano
    assert (first.streamed, second.streamed) == (False, True)


def test_thoughts_are_shown_only_if_asked_for(provider: SimulatedProvider) -> None:
    provider.behave("*", Behavior(reasoning_tokens=9))
    assert not any(part.get("thought") for part in parts(ask(provider)))
    config = {"thinkingConfig": {"includeThoughts": True}}
    assert parts(ask(provider, generationConfig=config))[0]["thought"] is True


def test_a_cap_truncates_the_answer_and_a_stop_sequence_ends_it(
    provider: SimulatedProvider,
) -> None:
    capped = ask(provider, generationConfig={"maxOutputTokens": 2})
    assert said(capped) == "You said:"
    assert capped["candidates"][0]["finishReason"] == "MAX_TOKENS"
    stopped = ask(provider, generationConfig={"stopSequences": [" there"]})
    assert said(stopped) == "You said: Hello"
    assert stopped["candidates"][0]["finishReason"] == "STOP"
    assert [line.completion_tokens for line in provider.requests] == [2, 3]


def test_a_call_of_a_tool_that_the_cap_cuts_is_left_out_and_billed(
    provider: SimulatedProvider,
) -> None:
    config = {"maxOutputTokens": 2}
    answer = ask(provider, "use get_weather", tools=TOOLS, generationConfig=config)
    assert parts(answer) == []
    assert provider.requests[0].completion_tokens == 2


@pytest.mark.parametrize(
    ("text", "calling", "called"),
    [
        ("Hello", {}, []),
        ("use get_weather", {"mode": "AUTO"}, ["get_weather"]),
        ("get_time and get_weather", {}, ["get_weather", "get_time"]),
        ("use get_weather", {"mode": "NONE"}, []),
        ("Hello", {"mode": "ANY"}, ["get_weather"]),
        ("Hello", {"mode": "ANY", "allowedFunctionNames": ["get_time"]}, ["get_time"]),
    ],
)
def test_functions_are_called_as_the_tool_config_says(
    provider: SimulatedProvider, text: str, calling: dict[str, Any], called: list[str]
) -> None:
    config = {"functionCallingConfig": calling}
    answer = ask(provider, text, tools=TOOLS, toolConfig=config)
    calls = [part["functionCall"]["name"] for part in parts(answer) if "functionCall" in part]
    assert calls == called


def test_an_agent_ends_because_a_functions_response_is_answered_with_text(
    provider: SimulatedProvider,
) -> None:
    calling = ask(provider, "get_weather of 'Bern'", tools=TOOLS)["candidates"][0]["content"]
    assert calling["parts"][0]["functionCall"]["args"] == {"city": "Bern", "days": 1}
    response = {"functionResponse": {"name": "get_weather", "response": {"output": "sunny"}}}
    whole = [*contents("get_weather of 'Bern'"), calling, {"role": "user", "parts": [response]}]
    _, answer = post(provider, PATH, {"contents": whole, "tools": TOOLS}, **KEY)
    assert said(answer) == "You said: get_weather of 'Bern'"


@pytest.mark.parametrize("name", ["responseSchema", "responseJsonSchema"])
def test_both_kinds_of_schema_are_followed(provider: SimulatedProvider, name: str) -> None:
    schema = WEATHER["parameters"]
    if name == "responseJsonSchema":
        schema = json.loads(json.dumps(schema).lower())
    config = {"responseMimeType": "application/json", name: schema}
    assert json.loads(said(ask(provider, generationConfig=config))) == {"city": "text", "days": 1}


def test_every_candidate_is_counted(provider: SimulatedProvider) -> None:
    answer = ask(provider, generationConfig={"candidateCount": 3})
    assert [candidate["index"] for candidate in answer["candidates"]] == [0, 1, 2]
    assert provider.requests[0].completion_tokens == 12


def test_usage_can_be_withheld_and_is_billed_all_the_same(provider: SimulatedProvider) -> None:
    provider.behave("*", Behavior(no_usage=True))
    assert "usageMetadata" not in ask(provider)
    assert all("usageMetadata" not in chunk for chunk in stream(provider))
    assert provider.billed_nano == 2 * (10 * 300 + 4 * 2500)


def test_a_tier_is_reported_and_billed_at_its_own_price(provider: SimulatedProvider) -> None:
    answer = ask(provider, serviceTier="flex")
    assert answer["usageMetadata"]["serviceTier"] == "flex"
    assert provider.billed_nano == 10 * 150 + 4 * 1250


def test_a_cut_stream_bills_the_prompt_the_thoughts_and_the_tokens_sent(
    provider: SimulatedProvider, client: genai.Client
) -> None:
    provider.behave("*", Behavior(prompt_tokens=100, cut_after=3, reasoning_tokens=5))
    seen: list[Any] = []
    with pytest.raises(Exception, match="peer closed"):
        seen.extend(client.models.generate_content_stream(model=MODEL, contents="Hello there"))
    [line] = provider.settled()
    assert (line.outcome, line.completion_tokens) == ("cut", 8)
    assert line.cost_nano == 100 * 300 + 8 * 2500


def test_a_cut_stream_bills_a_function_call_that_was_sent_whole(
    provider: SimulatedProvider,
) -> None:
    whole = stream(provider, "get_weather and get_time", tools=TOOLS)
    first = whole[0]["usageMetadata"]["candidatesTokenCount"]
    provider.behave("*", Behavior(cut_after=1))
    with pytest.raises(Exception, match="IncompleteRead"):
        stream(provider, "get_weather and get_time", tools=TOOLS)
    assert provider.settled()[-1].completion_tokens == first > 1


def test_a_behavior_in_the_path_is_read(provider: SimulatedProvider) -> None:
    path = f"/v1beta/models/{MODEL}%2Bcontent=a%2520b:generateContent"
    _, answer = post(provider, path, {"contents": contents()}, **KEY)
    assert said(answer) == "a b"
    assert provider.requests[0].model == MODEL


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED"),
        (429, "RESOURCE_EXHAUSTED"),
        (503, "UNAVAILABLE"),
        (529, "UNKNOWN"),
    ],
)
def test_scripted_errors_arrive_as_the_clients_own_and_bill_nothing(
    provider: SimulatedProvider, client: genai.Client, status: int, name: str
) -> None:
    provider.behave("*", Behavior(status=status))
    with pytest.raises(errors.APIError) as caught:
        client.models.generate_content(model=MODEL, contents="hi")
    assert (caught.value.code, caught.value.status) == (status, name)
    assert caught.value.message == f"Simulated error {status}."
    assert provider.billed_nano == 0


def test_a_key_is_required_and_not_kept(provider: SimulatedProvider) -> None:
    status, answer = post(provider, PATH, {"contents": contents()})
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")
    ask(provider)
    assert "x-goog-api-key" not in provider.requests[-1].headers


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"parts": []}]}, "contents[0].parts"),
        ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "max_output_tokens"),
        ({"generationConfig": {"candidateCount": 9}}, "candidate_count"),
        ({"generationConfig": {"stopSequences": [""]}}, "stop_sequences"),
        ({"generationConfig": {"stopSequences": list("abcdef")}}, "stop_sequences"),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "response_schema"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "function_declarations"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "mode"),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}}},
            "allowed_function_names",
        ),
        ({"contents": [{"parts": [5]}]}, "wrong type"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    provider: SimulatedProvider, more: dict[str, Any], named: str
) -> None:
    status, answer = post(provider, PATH, {"contents": contents(), **more}, **KEY)
    assert (status, answer["error"]["code"]) == (400, 400)
    assert named in answer["error"]["message"]
    assert provider.billed_nano == 0


def test_a_stream_has_one_candidate(provider: SimulatedProvider) -> None:
    body = {"contents": contents(), "generationConfig": {"candidateCount": 2}}
    status, answer = post(provider, STREAM_PATH, body, **KEY)
    assert status == 400
    assert "1 in a stream" in answer["error"]["message"]


def test_a_model_without_a_price_is_not_found(provider: SimulatedProvider) -> None:
    status, answer = post(provider, "/v1beta/models/gemini-9:generateContent", {}, **KEY)
    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")


def test_the_whole_request_counts_into_the_prompt() -> None:
    def count(*given: Any, **more: Any) -> int:
        return count_content_prompt({"contents": [{"parts": list(given)}], **more})

    assert count({"inlineData": {"mimeType": "image/png", "data": ""}}) == 3 + 4 + 85
    assert count({"text": "four"}) == 3 + 4 + 1
    assert count({"functionResponse": {"name": "a"}}) == 3 + 4 + 3
    assert count({"text": "hi"}, tools=TOOLS) > count({"text": "hi"}) + 20
    system = {"parts": [{"text": "four"}]}
    assert count({"text": "four"}, systemInstruction=system) == 3 + 4 + 1 + 4 + 1
