from typing import Any

import pytest
from pydantic import BaseModel

from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import MEDIA_BOUND, PromptSizer
from llmcost_plugins.raw.requests import Api, describes_prompt, given, guess_api, model_in, size_of

SAID = [{"role": "user", "content": "hello"}]


class NotGiven:
    """As the SDKs have it."""


class City(BaseModel):
    """The place, described at length so that its schema is no short one."""

    name: str


def size(**params: Any) -> CallSize:
    return size_of(given(params), PromptSizer())


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_cap_is_read_under_each_of_its_names(name: str) -> None:
    assert size(messages=SAID, **{name: 7}).output_cap == 7


@pytest.mark.parametrize("cap", [None, 0, -5, True, "7", NotGiven()])
def test_what_is_no_cap_is_none(cap: object) -> None:
    assert size(messages=SAID, max_tokens=cap).output_cap is None


def test_parameters_in_the_extra_body_count() -> None:
    assert size(messages=SAID, extra_body={"max_tokens": 9, "n": 3}) == size(
        messages=SAID, max_tokens=9, n=3
    )


def test_every_part_of_a_request_makes_it_larger() -> None:
    least = size(messages=SAID).prompt_bound
    block = {"type": "text", "text": "x" * 100}
    parts: list[dict[str, Any]] = [
        {"system": "x" * 100},
        {"system": [block]},
        {"instructions": "x" * 100},
        {"input": "x" * 100},
        {"input": [{"role": "user", "content": [block]}]},
        {"input": [{"type": "function_call_output", "output": "x" * 100}]},
        {"prompt": ["x" * 50, "x" * 50]},
        {"prompt": [1] * 100},
        {"input_tokens": 100},
        {"tools": [{"type": "function", "function": {"name": "x" * 100}}]},
        {"response_format": City},
        {"text_format": City},
        {"output_config": {"format": {"schema": City.model_json_schema()}}},
        {"prediction": {"type": "content", "content": "x" * 100}},
    ]
    for part in parts:
        assert size(messages=SAID, **part).prompt_bound >= least + 100, part


def test_images_count_as_images_wherever_they_stand() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    for content in ([image], [result]):
        found = size(messages=[{"role": "user", "content": content}])
        assert found.prompt_bound > MEDIA_BOUND
        assert found.media == {"image"}


def test_a_message_counts_its_calls_and_the_rest_of_its_fields() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "x" * 100}]}
    assert size(messages=[called]).prompt_bound > 100


def test_service_tiers_are_named_as_the_prices_name_them() -> None:
    assert size(messages=SAID, service_tier="flex").service_tier == "flex"
    assert size(messages=SAID, service_tier="standard_only").service_tier is None
    assert size(messages=SAID, speed="fast").service_tier == "fast"


def test_what_is_called_is_guessed_from_the_parameters() -> None:
    assert guess_api({"messages": SAID}) is Api.CHAT
    assert guess_api({"input": "a", "model": "text-embedding-3-small"}) is Api.EMBEDDINGS
    assert guess_api({"input": "a", "model": "gpt-4o"}) is Api.RESPONSES
    assert guess_api({"prompt": "a"}) is Api.COMPLETIONS


def test_a_request_describes_itself_if_it_names_a_model_and_a_prompt() -> None:
    assert model_in({"model": "gpt-4o"}) == "gpt-4o"
    assert [model_in({"model": other}) for other in (None, "", 5)] == [None, None, None]
    assert describes_prompt({"input_tokens": 5})
    assert not describes_prompt({"question": "why?"})
