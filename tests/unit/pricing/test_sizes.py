from typing import Any

import pytest

from llmcost_plugins.pricing.sizes import (
    MEDIA_BOUND,
    MESSAGE_OVERHEAD,
    SEARCHES_BOUND,
    TOOLS_OVERHEAD,
    PromptSizer,
    json_bound,
    text_bound,
)
from llmcost_plugins.pricing.tokenizers import Tokenizer


def test_a_text_has_at_most_as_many_tokens_as_bytes() -> None:
    assert text_bound("abc", "é", "漢", None, 5, "\ud800") == 3 + 2 + 3 + 3
    assert json_bound({"a": "é", "b": object}) > len('{"a": "é", "b": ""}')


def test_a_prompt_is_the_sum_of_its_parts() -> None:
    sizer = PromptSizer("m")
    sizer.message()
    sizer.text("héllo", None)
    sizer.block({"type": "text", "text": "x"})
    sizer.json([1])
    size = sizer.size(7, choices=2, service_tier="flex", region="eu")
    text = 6 + len('{"type": "text", "text": "x"}') + 3
    assert (size.prompt_bound, size.text_bytes) == (MESSAGE_OVERHEAD + text, text)
    assert (size.output_cap, size.choices, size.service_tier, size.region) == (7, 2, "flex", "eu")
    assert (size.text_tokens, size.tokenizer, size.measure) == (None, "", "bytes")
    assert (size.media, size.web_searches) == (frozenset(), 0)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o-mini-2024-07-18", 48_169),
        ("gpt-4o", 1_445),
        ("openai/gpt-4o-2024-08-06", 1_445),
        ("o1", 1_445),
        ("gpt-4.1-nano", 3_779),
        ("gpt-5-mini", 3_779),
        ("gpt-5.4", 16_200),
        ("gpt-6-astra", 16_200),
        ("anthropic.claude-opus-4-7-v1:0", 8_464),
        ("gemini-3-pro", 2_240),
        ("gemini-2.5-flash", MEDIA_BOUND),
        ("pixtral-12b", MEDIA_BOUND),
        ("", MEDIA_BOUND),
    ],
)
def test_an_image_takes_what_its_provider_documents_at_most(model: str, tokens: int) -> None:
    sizer = PromptSizer(model)
    sizer.block({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
    size = sizer.size(None)
    assert (size.prompt_bound, size.text_bytes, size.media) == (tokens, 0, frozenset({"image"}))


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("input_audio", {"audio"}),
        ("audio", {"audio"}),
        ("video", {"video"}),
        ("file", set()),
        ("document", set()),
        ("media", set()),
    ],
)
def test_other_media_have_one_wide_bound(kind: str, media: set[str]) -> None:
    sizer = PromptSizer("gpt-4o")
    sizer.block({"type": kind, "data": "A" * 100})
    size = sizer.size(None)
    assert (size.prompt_bound, size.media) == (MEDIA_BOUND, frozenset(media))


@pytest.mark.parametrize("key", ["tools", "functions", "response_format", "tool_choice", "format"])
def test_tools_and_the_form_of_the_answer_are_part_of_the_prompt(key: str) -> None:
    sizer = PromptSizer("m")
    sizer.params({key: [{"name": "x" * 100}], "temperature": 1, "stop": ["y" * 500]})
    assert TOOLS_OVERHEAD + 100 < sizer.size(None).prompt_bound < TOOLS_OVERHEAD + 200
    empty = PromptSizer("m")
    empty.params({key: None})
    assert empty.size(None).prompt_bound == 0


@pytest.mark.parametrize(
    ("params", "searches"),
    [
        ({"tools": [{"type": "web_search_20250305", "max_uses": 3}]}, 3),
        ({"tools": [{"type": "web_search"}, {"type": "function"}, "x"]}, SEARCHES_BOUND),
        ({"tools": [{"google_search": {}}]}, SEARCHES_BOUND),
        ({"tools": [{"type": "web_search", "max_uses": "many"}]}, SEARCHES_BOUND),
        ({"web_search_options": {}}, SEARCHES_BOUND),
        ({"tools": [{"type": "function", "function": {"name": "web_search"}}]}, 0),
        ({"tools": "x"}, 0),
        ({}, 0),
    ],
)
def test_a_search_tool_of_the_provider_may_be_used_so_often(
    params: dict[str, Any], searches: int
) -> None:
    sizer = PromptSizer("m")
    sizer.params(params)
    assert sizer.size(None).web_searches == searches


def test_asking_for_audio_makes_audio_possible() -> None:
    sizer = PromptSizer("m")
    sizer.params({"modalities": ["text", "audio"]})
    assert sizer.size(None).media == {"audio"}


def test_a_tokenizer_counts_the_text_besides_its_bytes() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 2 if len(text) < 10 else 10**9

    sizer = PromptSizer("m", Tokenizer("words", count))
    sizer.message()
    for text in ("hello", "x" * 50, "\ud800lone", "y" * 1_000_001):
        sizer.text(text)
    size = sizer.size(None)
    # More tokens than bytes are impossible; what no tokenizer takes, or for too long, is not asked.
    assert size.text_tokens == 2 + 50 + 7 + 1_000_001
    assert counted == ["hello", "x" * 50]
    assert (size.measure, size.measured) == ("words", size.text_tokens)
    assert size.prompt_bound == MESSAGE_OVERHEAD + 5 + 50 + 7 + 1_000_001
