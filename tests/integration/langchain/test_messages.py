"""Usage in LangChain's messages, as each provider's package writes it."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from llmcost_langchain._messages import from_cache, read_usage
from llmcost_plugins.usage import Trust, Usage


def message(
    said: dict[str, Any] | None, /, content: Any = "x", more: Any = None, **facts: Any
) -> AIMessage:
    made = AIMessage(content, additional_kwargs=more or {}, response_metadata=facts)
    # Assigned, as the packages do: the class would refuse what some of them write.
    made.usage_metadata = said  # type: ignore[assignment]
    return made


def result(*messages: AIMessage, output: dict[str, Any] | None = None) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=m) for m in messages]], llm_output=output)


def summary(into: int, out: int, **details: Any) -> dict[str, Any]:
    return {"input_tokens": into, "output_tokens": out, "total_tokens": into + out, **details}


ANTHROPIC = {
    "input_tokens": 100,
    "output_tokens": 50,
    "cache_read_input_tokens": 300,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "batch",
    "inference_geo": "us",
    "output_tokens_details": {"thinking_tokens": 15},
}
ANTHROPIC_SUMMARY = summary(
    430,
    50,
    input_token_details={
        "cache_read": 300,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 10,
        "ephemeral_1h_input_tokens": 20,
    },
    output_token_details={"reasoning": 15},
)
COUNTS: dict[str, Any] = {
    "input": 100,
    "cache_read": 300,
    "cache_write_5m": 10,
    "cache_write_1h": 20,
    "output": 35,
    "reasoning": 15,
}
OPENAI = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 50, "image_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 120},
}
# langchain-openai renames the details of a flex answer, and adds a count that overlaps them.
FLEX_SUMMARY = summary(
    1000,
    200,
    input_token_details={"flex_cache_read": 600, "flex_cache_creation": 50, "flex": 400},
    output_token_details={"flex_reasoning": 120, "flex": 80},
)
FLEX: dict[str, Any] = {
    "cache_read": 600,
    "cache_write_5m": 50,
    "output": 80,
    "reasoning": 120,
    "service_tier": "flex",
}
RESPONSE = summary(100, 50, input_token_details={"cache_read": 30})
GROUNDING = {
    "web_search_queries": ["a", "b"],
    "grounding_chunks": [{"web": {"uri": "https://example.com"}, "maps": None}],
}
SEARCHED = Usage(input=70, cache_read=30, output=50, other={"web_search": 1})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            message(FLEX_SUMMARY, token_usage=OPENAI, service_tier="flex", model_provider="openai"),
            Usage(input=320, image_in=30, **FLEX),
            id="openai",
        ),
        pytest.param(
            message(FLEX_SUMMARY, model_provider="openai"),
            Usage(input=350, **FLEX),
            id="openai, streamed",
        ),
        pytest.param(
            message(
                summary(
                    100,
                    50,
                    input_token_details={"audio": 20, "priority": 100},
                    output_token_details={"audio": 30},
                ),
                service_tier="default",
            ),
            Usage(input=80, audio_in=20, output=20, audio_out=30, service_tier="priority"),
            id="openai, the tier is only seen in a name",
        ),
        pytest.param(
            message(ANTHROPIC_SUMMARY, usage=ANTHROPIC, model_provider="anthropic"),
            Usage(**COUNTS, other={"web_search": 2}, service_tier="batch", region="us"),
            id="anthropic",
        ),
        pytest.param(
            message(
                ANTHROPIC_SUMMARY,
                [
                    {"type": "server_tool_use", "name": "web_search"},
                    {"type": "web_search_tool_result", "content": [{"url": "https://a.com"}]},
                    {"type": "text", "text": "x"},
                ],
                model_provider="anthropic",
            ),
            Usage(**COUNTS, other={"web_search": 1}),
            id="anthropic, streamed",
        ),
        pytest.param(
            message(
                ANTHROPIC_SUMMARY,
                usage={
                    **ANTHROPIC,
                    "iterations": [
                        {"type": "compaction", "input_tokens": 9000, "output_tokens": 80}
                    ],
                },
                model_provider="anthropic",
            ),
            Usage(
                **{**COUNTS, "input": 9100, "output": 115},
                other={"web_search": 2},
                service_tier="batch",
                region="us",
            ),
            id="anthropic, a compaction that the summary has no part of",
        ),
        pytest.param(
            message(
                ANTHROPIC_SUMMARY,
                usage={**ANTHROPIC, "input_tokens": 7, "iterations": [{"type": "message"}]},
            ),
            Usage(**COUNTS),
            id="anthropic, a report of another call",
        ),
        pytest.param(
            message(
                summary(1013, 30),
                token_usage={
                    "prompt_tokens": 1013,
                    "completion_tokens": 30,
                    "prompt_tokens_details": {"cached_tokens": 1008},
                },
                model_provider="mistralai",
            ),
            Usage(input=5, cache_read=1008, output=30),
            id="mistral",
        ),
        pytest.param(
            message(
                {**summary(1000, 320), "output_token_details": {"reasoning": 120}},
                token_usage={
                    "prompt_tokens": 1000,
                    "completion_tokens": 200,
                    "total_tokens": 1320,
                    "completion_tokens_details": {"reasoning_tokens": 120},
                    "cost_in_usd_ticks": 20_000_000,
                },
                model_provider="xai",
            ),
            Usage(input=1000, output=200, reasoning=120, stated_cost=Decimal("0.002")),
            id="xai",
        ),
        pytest.param(
            message(
                {
                    **summary(1000, 320),
                    "total_tokens": 1200,
                    "output_token_details": {"reasoning": 120},
                },
                model_provider="xai",
            ),
            Usage(input=1000, output=200, reasoning=120),
            id="xai, streamed, a total without the reasoning",
        ),
        pytest.param(
            message(
                summary(430, 50, input_token_details={"cache_read": 300, "cache_creation": 30}),
                token_usage=SimpleNamespace(
                    prompt_tokens=430,
                    completion_tokens=50,
                    prompt_tokens_details=SimpleNamespace(
                        cached_tokens=300,
                        cache_creation_tokens=30,
                        cache_creation_token_details={
                            "ephemeral_5m_input_tokens": 10,
                            "ephemeral_1h_input_tokens": 20,
                        },
                    ),
                ),
                response_cost=0.00123,
                model_provider="litellm",
            ),
            Usage(**{**COUNTS, "output": 50, "reasoning": 0}, stated_cost=Decimal("0.00123")),
            id="litellm",
        ),
        pytest.param(
            message(summary(10, 5), response_cost=0.5, model_provider="litellm"),
            Usage(input=10, output=5, stated_cost=Decimal("0.5")),
            id="litellm, streamed",
        ),
        pytest.param(
            message(summary(10, 5), headers={"x-litellm-response-cost": "0.5"}),
            Usage(input=10, output=5, stated_cost=Decimal("0.5")),
            id="litellm's proxy",
        ),
        pytest.param(
            message(summary(10, 5), cost=0.25, model_provider="openrouter"),
            Usage(input=10, output=5, stated_cost=Decimal("0.25")),
            id="openrouter, streamed",
        ),
        pytest.param(
            message(
                {
                    **summary(33, 7163),
                    "output_token_details": {"reasoning": 73997, "citation_tokens": 20016},
                },
                num_search_queries=18,
            ),
            Usage(
                input=33,
                output=7163,
                reasoning=73997,
                other={"web_search": 18, "citation": 20016},
            ),
            id="perplexity deep research",
        ),
        pytest.param(
            message(summary(14, 100), search_context_size="low"),
            Usage(input=14, output=100, other={"web_search_low": 1}),
            id="perplexity sonar",
        ),
        pytest.param(
            message(
                RESPONSE,
                [
                    {"type": "web_search_call", "id": "1", "action": {"type": "search"}},
                    {"type": "web_search_call", "id": "2", "action": {"type": "open_page"}},
                    {"type": "text", "text": "x"},
                    "text",
                ],
            ),
            SEARCHED,
            id="openai responses",
        ),
        pytest.param(
            message(
                RESPONSE,
                [
                    {"type": "server_tool_call", "name": "web_search", "args": {"type": "search"}},
                    {"type": "server_tool_call", "name": "code_interpreter", "args": {}},
                    {"type": "text", "text": "x"},
                ],
            ),
            SEARCHED,
            id="openai responses, LangChain's own blocks",
        ),
        pytest.param(
            message(RESPONSE, more={"tool_outputs": [{"type": "web_search_call", "id": "1"}]}),
            SEARCHED,
            id="openai responses, the older form",
        ),
        pytest.param(
            message(
                summary(1000, 150, input_token_details={"cache_read": 400}),
                model_provider="google_genai",
            ),
            Usage(input=600, cache_read=400, output=150),
            id="gemini",
        ),
        pytest.param(
            message(
                ANTHROPIC_SUMMARY, serviceTier={"type": "flex"}, model_provider="bedrock_converse"
            ),
            Usage(**COUNTS, service_tier="flex"),
            id="bedrock",
        ),
        pytest.param(
            message(
                summary(430, 50, input_token_details={"cache_read": 300, "cache_creation": 30}),
                # This package's own report leaves out of the prompt what was cached.
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "cache_read_input_tokens": 300,
                    "total_tokens": 480,
                },
            ),
            Usage(input=100, cache_read=300, cache_write_5m=30, output=50),
            id="bedrock, the older package",
        ),
        pytest.param(
            message(summary(26, 282), prompt_eval_count=26, eval_count=282),
            Usage(input=26, output=282),
            id="ollama",
        ),
        pytest.param(
            message(None, token_usage=OPENAI),
            Usage(
                input=320, cache_read=600, cache_write_5m=50, image_in=30, output=80, reasoning=120
            ),
            id="no summary",
        ),
        pytest.param(message({"total_cost": 0}), None, id="a hit without usage"),
        pytest.param(message(summary(0, 0)), None, id="zeros"),
        pytest.param(message(None), None, id="nothing"),
    ],
)
def test_the_usage_of_every_package_is_read(answer: AIMessage, expected: Usage | None) -> None:
    usage = read_usage(result(answer))
    assert usage == expected
    if usage is not None:
        assert usage.note == ""


def test_a_summary_without_the_lifetimes_of_cached_tokens_is_an_estimate() -> None:
    said = summary(430, 50, input_token_details={"cache_read": 300, "cache_creation": 30})
    usage = read_usage(result(message(said, model_provider="anthropic")))
    assert usage is not None
    assert usage == Usage(
        input=100, cache_read=300, cache_write_5m=30, output=50, trust=Trust.ESTIMATED
    )
    assert "how long 30 tokens are cached" in usage.note


def test_a_summary_that_may_count_the_free_results_of_searches_is_an_estimate() -> None:
    answer = message(
        summary(1000, 150), grounding_metadata=GROUNDING, model_provider="google_genai"
    )
    usage = read_usage(result(answer))
    assert usage is not None
    assert usage == Usage(input=1000, output=150, other={"web_search": 2}, trust=Trust.ESTIMATED)
    assert "results of searches" in usage.note


def test_the_usage_that_each_of_several_choices_repeats_is_read_once() -> None:
    output = {"token_usage": OPENAI, "service_tier": "flex", "model_name": "gpt-5.4"}
    answers = [message(FLEX_SUMMARY) for _ in range(3)]
    usage = read_usage(result(*answers, output=output))
    assert usage == Usage(input=320, image_in=30, **FLEX)


def test_the_usage_of_a_cache_hit_is_that_of_the_first_call() -> None:
    hit = result(message({**FLEX_SUMMARY, "total_cost": 0}, token_usage=OPENAI))
    assert from_cache(hit)
    usage = read_usage(hit)
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (1000, 200)


@pytest.mark.parametrize(
    ("said", "expected", "note"),
    [
        ({**summary(10, 5), "total_tokens": 99}, Usage(input=10, output=5), "total of 99"),
        ({**summary(10, 5), "input_tokens": "ten"}, Usage(input=10, output=5), "rest of 15"),
        (
            {**summary(10, 5), "input_token_details": {"cache_read": 30, 5: 6}},
            Usage(cache_read=30, output=5),
            "30 tokens of parts in a prompt of 10",
        ),
        ({**summary(10, 5), "output_token_details": [5]}, Usage(input=10, output=5), ""),
        ({**summary(10, -5), "total_tokens": 10}, Usage(input=10), "reported as -5"),
    ],
    ids=["total", "text", "cached", "list", "negative"],
)
def test_an_odd_summary_is_mended(said: Any, expected: Usage, note: str) -> None:
    usage = read_usage(result(message(said)))
    assert usage is not None
    assert usage.counts() == expected.counts()
    assert note in usage.note
    assert (usage.trust is Trust.INCONSISTENT) is bool(note)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, None),
        ({}, None),
        ({"token_usage": None}, None),
        # A batch of prompts reports its usage with its first member.
        ({"token_usage": {}}, Usage()),
        (
            {"token_usage": {"prompt_tokens": 10, "completion_tokens": 4}, "service_tier": "flex"},
            Usage(input=10, output=4, service_tier="flex"),
        ),
        ({"token_usage": "many"}, None),
    ],
)
def test_the_usage_of_a_completion_stands_beside_its_text(
    output: dict[str, Any] | None, expected: Usage | None
) -> None:
    completion = LLMResult(generations=[[Generation(text="x")]], llm_output=output)
    assert read_usage(completion) == expected


def test_a_result_without_an_answer_has_no_usage() -> None:
    assert read_usage(LLMResult(generations=[])) is None
    assert read_usage(LLMResult(generations=[[]])) is None
    human = ChatGeneration(message=HumanMessage("x"))
    assert read_usage(LLMResult(generations=[[human]])) is None


def test_what_the_provider_states_survives_the_way_through_langchain() -> None:
    seen: list[Usage | None] = []

    class Reader(BaseCallbackHandler):
        def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # noqa: ARG002 - the framework's
            seen.append(read_usage(response))

    answer = message(ANTHROPIC_SUMMARY, usage=ANTHROPIC, model_provider="anthropic")
    model = GenericFakeChatModel(messages=iter([answer]))
    model.invoke("x", {"callbacks": [Reader()]})
    expected = Usage(**COUNTS, other={"web_search": 2}, service_tier="batch", region="us")
    assert seen == [expected]
