"""Reading reports: every provider's exactly, and what is odd without ever raising."""

import re
from collections import UserDict, UserList
from decimal import Decimal, localcontext
from enum import Enum
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseCompletedEvent
from pydantic import BaseModel, ConfigDict, PrivateAttr

from llmcost_plugins.reported import read_searches, read_served_model, read_usage
from llmcost_plugins.usage import LARGEST_COUNT, Trust, Usage
from tests.unit.provider_reports import (
    GEMINI,
    OPENAI_CHAT,
    OPENAI_RESPONSE,
    PERPLEXITY_RESEARCH,
    REPORTS,
    RESPONSE_USAGE,
)


class Opaque:
    """An SDK's object: parts are attributes, and nothing else is known of it."""

    __slots__ = ("_parts",)

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            raise AttributeError(name) from None


def as_objects(part: Any) -> Any:
    if isinstance(part, dict):
        return Opaque({name: as_objects(value) for name, value in part.items()})
    return UserList(map(as_objects, part)) if isinstance(part, list) else part


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(
    "form", [dict, as_objects, UserDict], ids=["a dictionary", "objects", "a mapping"]
)
def test_every_report_is_read_exactly(name: str, form: Any) -> None:
    raw, expected = REPORTS[name]
    usage = read_usage(form(raw))
    assert usage == expected
    assert usage is not None
    assert usage.note == ""


@pytest.mark.parametrize(
    "name", [name for name, (raw, _) in REPORTS.items() if "usage" in raw and len(raw) == 1]
)
def test_a_report_alone_is_read_as_within_its_answer(name: str) -> None:
    raw, expected = REPORTS[name]
    assert read_usage(raw["usage"]) == read_usage(as_objects(raw["usage"])) == expected


def test_the_objects_of_openais_sdk_are_read() -> None:
    assert read_usage(ChatCompletion.model_validate(OPENAI_CHAT)) == REPORTS["openai chat"][1]
    event = {"type": "response.completed", "sequence_number": 1, "response": OPENAI_RESPONSE}
    assert read_usage(ResponseCompletedEvent.model_validate(event)) == RESPONSE_USAGE
    embeddings = {
        "object": "list",
        "data": [],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert read_usage(CreateEmbeddingResponse.model_validate(embeddings)) == Usage(input=8)


def test_fields_that_openais_sdk_does_not_know_are_read_all_the_same() -> None:
    raw = {**OPENAI_CHAT, "usage": REPORTS["deepseek"][0]["usage"], "service_tier": None}
    assert read_usage(ChatCompletion.model_validate(raw)) == REPORTS["deepseek"][1]


class LiteLLMAnswer(BaseModel):
    """Made as LiteLLM's answers are, which take seconds to import."""

    model_config = ConfigDict(extra="allow")
    model: str
    _hidden_params: dict[str, Any] = PrivateAttr(default_factory=dict)


def test_the_private_attribute_of_litellms_answers_is_read() -> None:
    raw, expected = REPORTS["litellm"]
    answer = LiteLLMAnswer(model=raw["model"], usage=raw["usage"])  # type: ignore[call-arg]  # extra
    answer._hidden_params = raw["_hidden_params"]
    assert read_usage(answer) == expected
    # It makes up a usage of zeros where the provider has sent none.
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert read_usage(LiteLLMAnswer(model="m", usage=zeros)) is None  # type: ignore[call-arg]  # extra


@pytest.mark.parametrize(
    "raw",
    [
        None,
        5,
        "usage",
        [],
        {},
        {"usage": None},
        {"usage": {}},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0}},
        {"usage": {"completion_tokens": 5}},  # half a report would be half the price
        {"type": "message_delta", "usage": {"output_tokens": 5, "input_tokens": None}},
        {"usageMetadata": {"cachedContentTokenCount": 5100, "trafficType": "ON_DEMAND"}},
        {"model": "llama3.2", "done": True, "eval_count": 282},
        {"usage": {"prompt_tokens": True, "completion_tokens": "many"}},
        {"meta": {"billed_units": {"classifications": 3}}},
        {"type": "response.created", "response": {"model": "gpt-5.4", "usage": None}},
        {"usage": {"type": "duration", "seconds": None}},
        {"usage": {"type": "duration", "seconds": float("inf")}},
        ChatCompletionChunk.model_construct(id="1", choices=[], usage=None),
        MagicMock(),
        SimpleNamespace(usage=MagicMock()),
        MagicMock,
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_nothing_is_reported_nothing_is_made_up(raw: object) -> None:
    assert read_usage(raw) is None


CHAT = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


@pytest.mark.parametrize(
    ("usage", "expected", "note"),
    [
        ({**CHAT, "total_tokens": 170}, Usage(input=100, output=50), "total of 170.*parts of 150"),
        ({**CHAT, "prompt_tokens": "100"}, Usage(input=100, output=50), "reported as '100'"),
        ({**CHAT, "completion_tokens": True}, Usage(input=100), "reported as True"),
        ({**CHAT, "completion_tokens": [50]}, Usage(input=100), "reported as a list"),
        ({**CHAT, "completion_tokens": -50}, Usage(input=100), "reported as -50"),
        ({**CHAT, "completion_tokens": 49.5}, Usage(input=100, output=50), "reported as 49.5"),
        ({**CHAT, "completion_tokens": float("nan")}, Usage(input=100), "reported as nan"),
        (
            {**CHAT, "prompt_tokens": 10**5000},
            Usage(input=LARGEST_COUNT, output=50),
            "reported as a number beyond reason",
        ),
        (
            {**CHAT, "prompt_tokens": 1e300},
            Usage(input=LARGEST_COUNT, output=50),
            "reported as 1e[+]300",
        ),
        (
            {"completion_tokens": 50, "total_tokens": 150},
            Usage(input=100, output=50),
            "rest of 150",
        ),
        (
            {**CHAT, "prompt_tokens_details": {"cached_tokens": 120}},
            Usage(cache_read=120, output=50),
            "120 tokens of parts in a prompt of 100",
        ),
        (
            {**CHAT, "completion_tokens_details": {"reasoning_tokens": 70}},
            Usage(input=100, output=50, reasoning=70),
            "70 reasoning tokens in an answer of 50; a total of 150 tokens, but parts of 220",
        ),
        (
            {
                **CHAT,
                "prompt_tokens_details": {
                    "cached_tokens": 10,
                    "audio_tokens": 5,
                    "cached_tokens_details": {"audio_tokens": 20},
                },
            },
            Usage(input=80, output=50, other={"cache_read_audio": 20}),
            "20 cached audio tokens of 5; 20 cached tokens by medium, 10 in all",
        ),
        ({"total_tokens": 150, "prompt_tokens": 0}, Usage(input=150), "only the total"),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_1h_input_tokens": 20},
            },
            Usage(input=10, cache_write_5m=10, cache_write_1h=20, output=5),
            "20 tokens written to the cache by lifetime, 30 in all",
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_1h_input_tokens": 30},
            },
            Usage(input=10, cache_write_1h=30, output=5),
            "30 tokens written to the cache by lifetime, 20 in all",
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "iterations": [
                    {
                        "type": "advisor_message",
                        "model": "claude-opus-4-8",
                        "input_tokens": 800,
                        "output_tokens": 90,
                    }
                ],
            },
            Usage(input=810, output=95),
            "890 tokens of the advising model 'claude-opus-4-8' at this one's price",
        ),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 99},
            Usage(input=10, output=5),
            "total of 99",
        ),
        (
            {"inputTokens": 10, "outputTokens": 5, "totalTokens": 99, "cacheReadInputTokens": 1},
            Usage(input=10, cache_read=1, output=5),
            "total of 99 tokens, but parts of 16",
        ),
        ({"type": "duration", "seconds": "12"}, Usage(other={"ms_in": 12}), "reported as '12'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_odd_is_mended_and_said(usage: dict[str, Any], expected: Usage, note: str) -> None:
    found = read_usage({"usage": usage})
    assert found is not None
    assert found.counts() == expected.counts()
    assert found.trust is Trust.INCONSISTENT
    assert re.search(note, found.note)


def test_an_answer_of_which_only_the_total_is_known_is_marked() -> None:
    usage = read_usage({"choices": [], "usage": {"total_tokens": 30}})
    assert usage == Usage(input=30, trust=Trust.INCONSISTENT)


@pytest.mark.parametrize(
    "cost",
    [-1, float("nan"), float("inf"), True, "a lot", "9" * 50, 10**7, 1e-30, ["0.1"], {"eur": 1}],
    ids=repr,
)
def test_a_cost_that_cannot_be_is_ignored_and_the_counts_are_trusted(cost: Any) -> None:
    usage = read_usage({"usage": {**CHAT, "cost": cost}})
    assert usage == Usage(input=100, output=50)
    assert usage is not None
    assert "stated cost" in usage.note


@pytest.mark.parametrize(
    ("raw", "stated"),
    [
        ({"usage": {**CHAT, "cost": 0.1}}, "0.1"),
        ({"usage": {**CHAT, "cost": 1}}, "1"),
        ({"usage": {**CHAT, "cost": "0.00012"}}, "0.00012"),
        ({"usage": {**CHAT, "cost": Decimal("0.1")}}, "0.1"),
        ({"usage": {**CHAT, "cost": 0.0}}, "0"),
        ({"usage": {**CHAT, "cost": -0.0}}, "0"),
        ({"usage": {**CHAT, "cost_in_usd_ticks": 1}}, "0.0000000001"),
        ({"usage": {**CHAT, "cost_in_usd_ticks": 5 * 10**10, "cost": 4}}, "5"),
        ({"usage": {**CHAT, "cost": -1}, "response_cost": 0.25}, "0.25"),
        ({"usage": CHAT, "_response_headers": {"x-litellm-response-cost": "0.5"}}, "0.5"),
        ({"usage": {**CHAT, "cost": 0.5, "is_byok": True}}, "0.5"),
    ],
)
def test_a_stated_cost_is_read_by_its_shortest_decimal_form(
    raw: dict[str, Any], stated: str
) -> None:
    usage = read_usage(raw)
    assert usage is not None
    assert usage.stated_cost == Decimal(stated)


@pytest.mark.parametrize(
    "raw",
    [
        {"usage": CHAT},
        {"usage": {**CHAT, "cost": None}},
        # LiteLLM says so of a model that it has no price for.
        {"usage": CHAT, "_hidden_params": {"response_cost": 0.0}},
        {"usage": {**CHAT, "cost": {"total_cost": 3, "currency": "EUR"}}},
        {"usage": {**CHAT, "cost": ...}},
        {"usage": CHAT, "headers": {"content-type": "application/json"}},
    ],
    ids=str,
)
def test_where_no_cost_in_dollars_is_stated_there_is_none(raw: dict[str, Any]) -> None:
    usage = read_usage(raw)
    assert usage is not None
    assert usage.stated_cost is None


def test_a_stated_cost_does_not_depend_on_the_callers_context() -> None:
    with localcontext(prec=2):
        usage = read_usage({"usage": {**CHAT, "cost": 0.123456789012345}})
        byok = {**CHAT, "cost": 0.0123, "is_byok": True}
        sum_of_two = read_usage(
            {"usage": {**byok, "cost_details": {"upstream_inference_cost": 1.5}}}
        )
    assert usage is not None
    assert usage.stated_cost == Decimal("0.123456789012345")
    assert sum_of_two is not None
    assert sum_of_two.stated_cost == Decimal("1.5123")


def test_a_note_stays_short_however_much_is_odd() -> None:
    parts = [{"type": "compaction", "input_tokens": "1", "output_tokens": 0}] * 1000
    usage = read_usage({"input_tokens": 1, "speed": "standard", "iterations": parts})
    assert usage is not None
    assert usage.input == 1001
    assert usage.note.endswith("and 992 more")
    assert len(usage.note) < 500


def test_a_tier_is_a_name_and_no_text() -> None:
    usage = read_usage({"service_tier": "x" * 10**6, "usage": CHAT})
    assert usage is not None
    assert usage.service_tier == "x" * 40


def test_a_call_that_is_only_billed_by_its_price_is_a_usage() -> None:
    usage = read_usage({"usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.005}})
    assert usage == Usage(stated_cost=Decimal("0.005"))


class Tier(Enum):
    FLEX = "FLEX"
    NUMBER = 3


@pytest.mark.parametrize(
    ("facts", "tier"),
    [
        ({}, None),
        ({"service_tier": None}, None),
        ({"service_tier": "default"}, None),
        ({"service_tier": "auto"}, None),
        ({"service_tier": "on_demand"}, None),
        ({"service_tier": " Priority"}, "priority"),
        ({"service_tier": Tier.FLEX}, "flex"),
        ({"service_tier": Tier.NUMBER}, None),
        ({"service_tier": 7}, None),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": {"type": "reserved"}}, "reserved"),
        ({"serviceTier": {}}, None),
    ],
    ids=str,
)
def test_the_standard_tier_has_many_names(facts: dict[str, Any], tier: str | None) -> None:
    usage = read_usage({**facts, "usage": CHAT})
    assert usage is not None
    assert usage.service_tier == tier


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (None, Usage(input=100, cache_read=40, output=5)),
        ("anthropic", Usage(input=100, cache_read=40, output=5)),
        ("azure_ai", Usage(input=100, cache_read=40, output=5)),
        ("OpenAI", Usage(input=60, cache_read=40, output=5)),
    ],
)
def test_the_provider_decides_where_the_names_do_not(provider: str | None, expected: Usage) -> None:
    raw = {"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 40}
    assert read_usage(raw, provider=provider) == expected


def test_perplexitys_reasoning_is_apart_from_its_answer_even_where_only_the_provider_tells() -> (
    None
):
    raw = {**CHAT, "reasoning_tokens": 30}
    assert read_usage(raw) == Usage(input=100, output=20, reasoning=30)
    apart = Usage(input=100, output=50, reasoning=30)
    assert read_usage(raw, provider="perplexity") == apart


def test_perplexity_without_its_cost_is_paid_by_query_only_for_deep_research() -> None:
    research = {name: n for name, n in PERPLEXITY_RESEARCH.items() if name != "cost"}
    usage = read_usage(research)
    assert usage is not None
    assert usage.other == {"web_search": 18, "citation": 20016}
    sonar = read_usage({**CHAT, "search_context_size": "high", "num_search_queries": 2})
    assert sonar == Usage(input=100, output=50, other={"web_search_high": 1})


def test_a_zero_under_one_name_does_not_hide_the_count_under_another() -> None:
    both = {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 12, "output_tokens": 3}
    assert read_usage({"usage": both}) == Usage(input=12, output=3)
    hidden = {**CHAT, "num_cached_tokens": 64, "prompt_tokens_details": {"cached_tokens": 0}}
    assert read_usage(hidden) == Usage(input=36, cache_read=64, output=50)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (OPENAI_CHAT, "gpt-4o-audio-preview-2024-12-17"),
        ({"type": "response.completed", "response": OPENAI_RESPONSE}, "gpt-5.4-2026-03-05"),
        ({"type": "message_start", "message": {"model": "claude-opus-4-8"}}, "claude-opus-4-8"),
        (GEMINI, "gemini-2.5-flash"),
        ({"model_version": "gemini-2.5-pro"}, "gemini-2.5-pro"),
        ({"model": ""}, None),
        ({"model": 5, "response": "x"}, None),
        # The user's own words about the call.
        ({"metadata": {"model": "gpt-4o-mini"}}, None),
        (None, None),
    ],
)
def test_the_served_model_is_read(raw: Any, name: str | None) -> None:
    assert read_served_model(raw) == read_served_model(as_objects(raw)) == name


@pytest.mark.parametrize(
    ("raw", "searches"),
    [
        ({}, {}),
        ({"output": "text", "content": 5, "candidates": None}, {}),
        ({"output": [{"type": "web_search_call", "action": None}]}, {"web_search": 1}),
        ({"output": [{"type": "message"}, {"type": "web_search_call"}]}, {"web_search": 1}),
        (
            {
                "content": [
                    {"type": "server_tool_use", "name": "web_search", "id": "1"},
                    {
                        "type": "web_search_tool_result",
                        "tool_use_id": "1",
                        "content": [{"type": "web_search_result", "url": "https://example.com"}],
                    },
                    {
                        "type": "web_search_tool_result",
                        "content": {
                            "type": "web_search_tool_result_error",
                            "error_code": "max_uses_exceeded",
                        },
                    },
                    "text",
                ]
            },
            {"web_search": 1},
        ),
        (GEMINI, {"web_search": 2}),
        (
            {
                "candidates": [
                    {"groundingMetadata": {"webSearchQueries": ["a"]}},
                    {"groundingMetadata": {"webSearchQueries": ["a", "b", 5]}},
                    {"groundingMetadata": None},
                ]
            },
            {"web_search": 2},
        ),
        (
            {"grounding_metadata": {"grounding_chunks": [{"maps": {"uri": "x"}}]}},
            {"maps_search": 1},
        ),
        (
            {
                "grounding_metadata": {
                    "web_search_queries": ["a"],
                    "grounding_chunks": [{"maps": {"uri": "x"}}, {"web": {"uri": "y"}}],
                }
            },
            {"web_search": 1, "maps_search": 1},
        ),
    ],
    ids=str,
)
def test_the_searches_that_an_answer_shows_are_counted(
    raw: dict[str, Any], searches: dict[str, int]
) -> None:
    assert read_searches(raw) == read_searches(as_objects(raw)) == searches


def test_the_searches_of_a_usage_are_not_added_to_those_that_its_answer_shows() -> None:
    raw = {**OPENAI_RESPONSE, "usage": {**CHAT, "input_tokens": 1, "prompt_tokens": None}}
    tools = {"server_tool_use": {"web_search_requests": 3}}
    usage = read_usage({**raw, "usage": {"input_tokens": 1, "input_tokens_details": {}, **tools}})
    assert usage is not None
    assert usage.other == {"web_search": 3}


class Refusing:
    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise RuntimeError(name)


class BrokenList(UserList[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError


class BrokenDict(UserDict[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - as a mapping has it
        raise RuntimeError(key)


@pytest.mark.parametrize("broken", [Refusing(), BrokenList([1]), BrokenDict(usage=CHAT)])
def test_objects_that_refuse_to_be_asked_break_nothing(broken: Any) -> None:
    assert read_usage(broken) is None
    assert read_served_model(broken) is None
    assert read_searches({"output": broken, "content": broken}) == {}
    assert read_usage({"usage": broken}) is None
    whole = {"usage": {**CHAT, "prompt_tokens_details": broken}, "_hidden_params": broken}
    assert read_usage(whole) == Usage(input=100, output=50)


def test_an_sdks_word_for_not_given_says_nothing() -> None:
    unset: Any = object()
    raw = {
        **CHAT,
        "cost": unset,
        "prompt_tokens_details": {"audio_tokens": unset, "cached_tokens": 10},
        "completion_tokens_details": unset,
    }
    assert read_usage(raw) == Usage(input=90, cache_read=10, output=50)


class Number(int):
    pass


def test_numbers_of_other_kinds_are_numbers() -> None:
    assert read_usage({"prompt_tokens": Number(7), "completion_tokens": 2.0}) == Usage(
        input=7, output=2
    )
