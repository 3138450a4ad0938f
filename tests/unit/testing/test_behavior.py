import dataclasses

import pytest

from llmcost_plugins.testing import Behavior
from llmcost_plugins.testing.behavior import split_model
from llmcost_plugins.testing.scripts import Scripts


def test_every_field_has_a_text_form() -> None:
    behavior = Behavior(
        status=503,
        delay=0.5,
        hang=True,
        cut_after=2,
        chunk_delay=0.25,
        content="a; b = ünïcode + 100 %",
        prompt_tokens=10,
        cached_tokens=4,
        cache_write_tokens=3,
        completion_tokens=8,
        reasoning_tokens=5,
        no_usage=True,
        finish_reason="content_filter",
        served_model="gpt-4o",
        service_tier="flex",
        cache_write_1h_tokens=1,
        tool_prompt_tokens=9,
        web_searches=2,
    )
    text = (
        "status=503; delay=0.5; hang=true; cut_after=2; chunk_delay=0.25;"
        "content=a%3B b = %C3%BCn%C3%AFcode + 100 %25;"
        "prompt_tokens=10;cached_tokens=4;cache_write_tokens=3;completion_tokens=8;"
        "reasoning_tokens=5;no_usage=1;finish_reason=content_filter;served_model=gpt-4o;"
        "service_tier=flex;cache_write_1h_tokens=1;tool_prompt_tokens=9;web_searches=2"
    )
    assert Behavior.parse(text) == behavior
    assert all(getattr(behavior, field.name) for field in dataclasses.fields(behavior))


def test_no_text_is_the_default_behavior() -> None:
    assert Behavior.parse("") == Behavior()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stauts=429", "unknown behavior 'stauts'; known: status"),
        ("status", "'status' needs a value"),
        ("status=", "status='' is not a whole number"),
        ("status=soon", "status='soon' is not a whole number"),
        ("status=200", "status=200 is not an HTTP error"),
        ("delay=-1", "delay=-1.0 is not a number of seconds"),
        ("chunk_delay=nan", "chunk_delay=nan is not a number of seconds"),
        ("delay=x", "delay='x' is not a number"),
        ("hang=maybe", "hang='maybe' is not true or false"),
        ("cut_after=-1", "cut_after=-1 is negative"),
        ("delay=1;delay=2", "'delay' is given twice"),
        ("completion_tokens=3;reasoning_tokens=4", "reasoning_tokens=4 are part of"),
        ("prompt_tokens=3;cached_tokens=2;cache_write_tokens=2", "= 4 exceed the prompt's 3"),
    ],
)
def test_a_bad_text_is_refused_with_its_key_named(text: str, named: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - compared below
        Behavior.parse(text)
    assert named in str(refusal.value)


def test_the_suffix_of_a_model_name_is_split_off() -> None:
    assert split_model("gpt-4o") == ("gpt-4o", None)
    assert split_model("gpt-4o+status=429;delay=1") == ("gpt-4o", Behavior(status=429, delay=1))


def test_limited_scripts_are_used_up_in_order_before_the_latest_unlimited_one() -> None:
    scripts = Scripts()
    scripts.add("m", Behavior(content="old"), None)
    scripts.add("m", Behavior(content="new"), None)
    scripts.add("m", Behavior(content="first"), 1)
    scripts.add("m", Behavior(content="then"), 2)
    taken = [scripts.take("m") for _ in range(5)]
    assert [behavior and behavior.content for behavior in taken] == [
        "first",
        "then",
        "then",
        "new",
        "new",
    ]


def test_a_script_for_the_model_goes_before_one_for_every_model() -> None:
    scripts = Scripts()
    scripts.add("*", Behavior(content="any"), 1)
    scripts.add("m", Behavior(content="own"), 1)
    assert scripts.take("other") == Behavior(content="any")
    assert scripts.take("m") == Behavior(content="own")
    assert scripts.take("m") is None


def test_a_script_for_no_request_is_refused() -> None:
    with pytest.raises(ValueError, match="times=0"):
        Scripts().add("m", Behavior(), 0)
